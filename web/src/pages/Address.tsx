import { Page } from "@/components/Page";

export default function Address() {
  return <Page title="Address">Not built yet.</Page>;
}
