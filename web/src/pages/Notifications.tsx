import { Page } from "@/components/Page";

export default function Notifications() {
  return <Page title="Notifications">Not built yet.</Page>;
}
