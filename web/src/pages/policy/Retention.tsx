import { Panel } from "@/components/Page";

export function Retention() {
  return <Panel title="Retention">…</Panel>;
}
