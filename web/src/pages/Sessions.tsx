import { Page } from "@/components/Page";

export default function Sessions() {
  return <Page title="Sessions">Not built yet.</Page>;
}
