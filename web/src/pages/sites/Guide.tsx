import { Anchor, Group, NativeSelect, Stack, Tabs, Text } from "@mantine/core";
import { IconDoor, IconExternalLink } from "@tabler/icons-react";
import { useState } from "react";
import { CodeBlock } from "@/components/CodeBlock";
import { Empty } from "@/components/Feedback";
import { Panel } from "@/components/Page";
import { gateCommand, gateConfig, guides, guideUrl, profiles } from "@/lib/sites";

/** No site yet: what one is good for, and how to have one. */
export function NoSites() {
  return (
    <Panel>
      <Empty icon={<IconDoor />} title="No application stands behind the gate yet">
        Applications can report sign-ins by themselves. Where that is not possible this week, Warder stands in
        front of an unchanged application: it knows where people sign in, reserves before a password is
        checked, reads the outcome from the answer, and refuses blocked addresses everywhere.
      </Empty>
      <Guide />
    </Panel>
  );
}

/** How an application gets guarded: by the gate, or by the proxy that is there already. */
export function Guide() {
  const [profile, setProfile] = useState("generic-form");
  return (
    <Tabs defaultValue="command" keepMounted={false} variant="outline">
      <Tabs.List mb="sm" className="tabs-scroll">
        <Tabs.Tab value="command">One command</Tabs.Tab>
        <Tabs.Tab value="file">Configuration file</Tabs.Tab>
        <Tabs.Tab value="proxy">Beside your own proxy</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="command">
        <Stack gap="sm">
          <Text size="sm">
            Stop Warder, start it like this, and let people reach the application through the gate's address
            only.
          </Text>
          <ProfilePick value={profile} set={setProfile} />
          <CodeBlock code={gateCommand(profile)} label="Command" />
        </Stack>
      </Tabs.Panel>
      <Tabs.Panel value="file">
        <Stack gap="sm">
          <Text size="sm">
            Several applications, TLS and everything else stand in the file that{" "}
            <Text span className="mono" size="sm">
              warder serve --config
            </Text>{" "}
            reads. Check it with{" "}
            <Text span className="mono" size="sm">
              warder config check
            </Text>
            , then start Warder again.
          </Text>
          <ProfilePick value={profile} set={setProfile} />
          <CodeBlock code={gateConfig(profile)} label="Configuration" />
        </Stack>
      </Tabs.Panel>
      <Tabs.Panel value="proxy">
        <Stack gap="sm">
          <Text size="sm">
            A proxy that is there already can ask Warder about every request (forward auth). That refuses who
            is blocked, and no more: the proxy does not say whether a password was right, so the application
            has to report its sign-ins, or the gate has to stand behind the proxy.
          </Text>
          <Group gap="lg">
            {guides.map((g) => (
              <Anchor
                key={g.file}
                href={guideUrl(g.file)}
                target="_blank"
                rel="noreferrer"
                size="sm"
                aria-label={`${g.name}, opens the documentation in a new tab`}
              >
                <Group gap={5} component="span" wrap="nowrap">
                  {g.name}
                  <IconExternalLink size={13} aria-hidden />
                  <Text span size="xs" c="dimmed">
                    {g.about}
                  </Text>
                </Group>
              </Anchor>
            ))}
          </Group>
        </Stack>
      </Tabs.Panel>
    </Tabs>
  );
}

function ProfilePick({ value, set }: { value: string; set: (v: string) => void }) {
  return (
    <NativeSelect
      size="xs"
      maw={260}
      label="Profile"
      description="How the application signs people in."
      value={value}
      onChange={(e) => set(e.currentTarget.value)}
      data={profiles}
    />
  );
}
