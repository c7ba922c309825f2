import { Page } from "@/components/Page";

export default function Trusted() {
  return <Page title="Trusted">Not built yet.</Page>;
}
