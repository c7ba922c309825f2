import { Page } from "@/components/Page";

export default function Operators() {
  return <Page title="Operators">Not built yet.</Page>;
}
