import { Page } from "@/components/Page";

export default function Applications() {
  return <Page title="Applications">Not built yet.</Page>;
}
