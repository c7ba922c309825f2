import { Page } from "@/components/Page";

export default function Reference() {
  return <Page title="Reference">Not built yet.</Page>;
}
