import { SegmentedControl, Stack, Tabs, Text } from "@mantine/core";
import { useState } from "react";
import { type Recipe, snippets } from "@/lib/snippets";
import { CodeBlock } from "./CodeBlock";

const about: Record<Recipe, string> = {
  report: "Tell Warder what happened and obey the answer. The quickest way in.",
  guard:
    "Announce each sign-in before the password is checked, and say how it ended. However many guesses come at once, no more get through than the policy allows.",
};

/** How an application talks to Warder, in five languages. */
export function Snippets({ url, token }: { url: string; token: string }) {
  const [recipe, setRecipe] = useState<Recipe>("report");
  const list = snippets(recipe, url, token);
  return (
    <Stack gap="xs">
      <SegmentedControl
        size="xs"
        aria-label="What the program does"
        value={recipe}
        onChange={(v) => setRecipe(v as Recipe)}
        data={[
          { value: "report", label: "Report events" },
          { value: "guard", label: "Guard the sign-in" },
        ]}
        style={{ alignSelf: "flex-start" }}
      />
      <Text size="sm" c="dimmed">
        {about[recipe]}
      </Text>
      <Tabs defaultValue="curl" keepMounted={false} variant="outline">
        <Tabs.List mb="xs" className="tabs-scroll">
          {list.map((s) => (
            <Tabs.Tab key={s.language} value={s.language}>
              {s.label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {list.map((s) => (
          <Tabs.Panel key={s.language} value={s.language}>
            <CodeBlock code={s.code} label={s.label} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}
