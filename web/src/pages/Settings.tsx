import { Page } from "@/components/Page";

export default function Settings() {
  return <Page title="Settings">Not built yet.</Page>;
}
