import { Page } from "@/components/Page";

export default function Setup() {
  return <Page title="Setup">Not built yet.</Page>;
}
