import { Page } from "@/components/Page";

export default function Accept() {
  return <Page title="Accept">Not built yet.</Page>;
}
