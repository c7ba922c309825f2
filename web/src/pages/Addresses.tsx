import { Page } from "@/components/Page";

export default function Addresses() {
  return <Page title="Addresses">Not built yet.</Page>;
}
