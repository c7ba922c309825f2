import { Page } from "@/components/Page";

export default function Start() {
  return <Page title="Start">Not built yet.</Page>;
}
