import { Page } from "@/components/Page";

export default function Tracking() {
  return <Page title="Tracking">Not built yet.</Page>;
}
