import { Page } from "@/components/Page";

export default function Policy() {
  return <Page title="Policy">Not built yet.</Page>;
}
