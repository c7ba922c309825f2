import { Page } from "@/components/Page";

export default function Accounts() {
  return <Page title="Accounts">Not built yet.</Page>;
}
