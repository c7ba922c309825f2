import { Page } from "@/components/Page";

export default function Providers() {
  return <Page title="Providers">Not built yet.</Page>;
}
