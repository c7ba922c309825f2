import { Page } from "@/components/Page";

export default function SignIn() {
  return <Page title="SignIn">Not built yet.</Page>;
}
