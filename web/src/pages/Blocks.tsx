import { Page } from "@/components/Page";

export default function Blocks() {
  return <Page title="Blocks">Not built yet.</Page>;
}
