import { Page } from "@/components/Page";

export default function Events() {
  return <Page title="Events">Not built yet.</Page>;
}
