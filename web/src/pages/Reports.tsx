import {
  Alert,
  Button,
  Code,
  FileButton,
  Group,
  List,
  SegmentedControl,
  Select,
  Stack,
  Table,
  Text,
  ThemeIcon,
  useMatches,
} from "@mantine/core";
import { DatePickerInput } from "@mantine/dates";
import { IconCircleCheck, IconCircleX, IconDownload, IconFileCheck, IconPrinter } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { api, data, Problem } from "@/api/client";
import { ProblemAlert } from "@/components/Feedback";
import { CopyableText } from "@/components/Links";
import { Page, Panel } from "@/components/Page";
import { stringifySearch } from "@/lib/filters";
import { days, dayWords, instants, type Period, periods } from "@/lib/period";
import { readSeal, type Sealed } from "@/lib/seal";
import { useSearchState } from "@/lib/search";
import { exact, timeZone } from "@/lib/time";
import { person } from "@/lib/words";

const isPeriod = (v: unknown): v is Period => periods.some((p) => p.value === v);
const isDay = (v: unknown): v is string => typeof v === "string" && /^\d{4}-\d\d-\d\d$/.test(v);

/** The security report of a time: to print, to hand to an auditor, to verify. */
export default function Reports() {
  return (
    <Page
      title="Reports"
      about="What happened in a time, what Warder did and who changed what: for the file, for management, for an auditor."
    >
      <Make />
      <Verify />
    </Page>
  );
}

const contents = [
  "Totals and trend, types of events, addresses and accounts that were attacked most",
  "Every block with its reason, and who lifted it and why",
  "Times of observe mode, of protection switched off or degraded",
  "Changes of the policy, alerts and whether they arrived, actions of operators",
  "A seal: hash and signature, by which everybody sees that nothing was changed",
];

function Make() {
  const [search, change] = useSearchState();
  const orientation = useMatches<"horizontal" | "vertical">({ base: "vertical", xs: "horizontal" });
  const custom = search.period === "custom";
  const period = isPeriod(search.period) ? search.period : "previous_month";
  const zone = typeof search.tz === "string" ? search.tz : timeZone();
  const zones = useMemo(() => ["UTC", ...Intl.supportedValuesOf("timeZone").filter((z) => z !== "UTC")], []);
  const [from, to] = custom ? [search.from, search.to] : days(period, zone);
  const ready = isDay(from) && isDay(to) && from <= to;
  const query = custom && ready ? { ...instants(from, to, zone), tz: zone } : { period, tz: zone };
  const href = (format: string, more = {}) =>
    `/v1/export/report${stringifySearch({ ...query, format, ...more })}`;
  return (
    <Panel title="Security report">
      <Stack gap="md">
        <SegmentedControl
          aria-label="Period"
          orientation={orientation}
          fullWidth={orientation === "vertical"}
          value={
            custom ? "custom" : ["previous_month", "previous_quarter"].includes(period) ? period : "other"
          }
          onChange={(v) =>
            change({ period: v === "other" ? "this_month" : v, from: undefined, to: undefined })
          }
          data={[
            { value: "previous_month", label: "Previous month" },
            { value: "previous_quarter", label: "Previous quarter" },
            { value: "other", label: "Other" },
            { value: "custom", label: "Custom" },
          ]}
          style={{ alignSelf: orientation === "vertical" ? "stretch" : "flex-start", maxWidth: "100%" }}
        />
        <Group gap="md" align="flex-start">
          {custom ? (
            <DatePickerInput
              type="range"
              label="Days"
              placeholder="First and last day"
              value={[isDay(from) ? from : null, isDay(to) ? to : null]}
              onChange={([a, b]) => change({ from: a ?? undefined, to: b ?? undefined }, true)}
              valueFormat="D MMM YYYY"
              allowSingleDateInRange
              w={260}
            />
          ) : (
            !["previous_month", "previous_quarter"].includes(period) && (
              <Select
                label="Period"
                value={period}
                onChange={(v) => v && change({ period: v })}
                data={periods.filter((p) => !["previous_month", "previous_quarter"].includes(p.value))}
                allowDeselect={false}
                w={220}
              />
            )
          )}
          <Select
            label="Time zone"
            value={zone}
            onChange={(v) => v && change({ tz: v === timeZone() ? undefined : v })}
            data={zones}
            searchable
            limit={100}
            allowDeselect={false}
            nothingFoundMessage="No such time zone"
            w={260}
          />
        </Group>
        <Text size="sm" role="status">
          {ready ? (
            <>
              From <b>{dayWords(from)}</b> to <b>{dayWords(to)}</b>, whole days in {zone}.
            </>
          ) : (
            <Text span size="sm" c="dimmed">
              Choose the first and the last day.
            </Text>
          )}
        </Text>
        <List size="sm" spacing={4} c="dimmed">
          {contents.map((c) => (
            <List.Item key={c}>{c}</List.Item>
          ))}
        </List>
        <Group gap="xs">
          <Button
            component="a"
            href={href("html", { inline: true })}
            target="_blank"
            rel="noopener"
            leftSection={<IconPrinter size={16} />}
            data-disabled={!ready || undefined}
            onClick={(e) => !ready && e.preventDefault()}
          >
            Open to print
          </Button>
          {[
            ["csv", "CSV"],
            ["ndjson", "NDJSON"],
            ["json", "JSON"],
            ["html", "HTML"],
          ].map(([format, label]) => (
            <Button
              key={format}
              component="a"
              variant="default"
              href={href(format as string)}
              download
              leftSection={<IconDownload size={15} />}
              data-disabled={!ready || undefined}
              onClick={(e) => !ready && e.preventDefault()}
            >
              {label}
            </Button>
          ))}
        </Group>
      </Stack>
    </Panel>
  );
}

function Verify() {
  const [name, setName] = useState("");
  const verify = useMutation({
    mutationFn: async (file: File) => {
      setName(file.name);
      const sealed = await readSeal(new Uint8Array(await file.arrayBuffer()));
      const answer = await data(
        api.POST("/v1/export/verify", {
          body: { seal: sealed.seal, sha256: sealed.sha256, bytes: sealed.bytes },
        }),
      );
      return { sealed, answer };
    },
  });
  const done = verify.data;
  return (
    <Panel title="Verify a report">
      <Stack gap="md">
        <Text size="sm" c="dimmed" maw={720}>
          Was this file made by this Warder, and is it unchanged? It is read in your browser; only its hash
          and its seal are sent. Without the dashboard: <Code>warder export verify FILE</Code>
        </Text>
        <FileButton
          accept=".csv,.json,.ndjson,.html"
          onChange={(file) => file && verify.mutate(file)}
          inputProps={{ "aria-label": "Report to verify" }}
        >
          {(p) => (
            <Button
              {...p}
              variant="default"
              leftSection={<IconFileCheck size={16} />}
              loading={verify.isPending}
              style={{ alignSelf: "flex-start" }}
            >
              Choose a file
            </Button>
          )}
        </FileButton>
        {verify.error &&
          (verify.error instanceof Problem ? (
            <ProblemAlert error={verify.error} />
          ) : (
            <Alert
              role="alert"
              color="red"
              variant="light"
              icon={<IconCircleX />}
              title={`${name} does not verify`}
            >
              {verify.error.message}
            </Alert>
          ))}
        {done && (
          <>
            {done.answer.valid ? (
              <Alert
                role="status"
                color="warder"
                variant="light"
                icon={<IconCircleCheck />}
                title={`${name} is genuine`}
              >
                This Warder made it, and not a byte was changed since.
              </Alert>
            ) : (
              <Alert
                role="alert"
                color="red"
                variant="light"
                icon={<IconCircleX />}
                title={`${name} does not verify`}
              >
                {sentence(done.answer.fault ?? "It is not genuine")}
              </Alert>
            )}
            <SealTable sealed={done.sealed} ours={done.answer.key} />
          </>
        )}
      </Stack>
    </Panel>
  );
}

const sentence = (s: string) => `${s.charAt(0).toUpperCase()}${s.slice(1)}.`;

function SealTable({ sealed, ours }: { sealed: Sealed; ours: string }) {
  const { seal } = sealed;
  const mark = (good: boolean) => (
    <ThemeIcon
      size={18}
      radius="xl"
      variant="light"
      color={good ? "warder" : "red"}
      aria-label={good ? "as it should be" : "not as it should be"}
    >
      {good ? <IconCircleCheck size={14} /> : <IconCircleX size={14} />}
    </ThemeIcon>
  );
  const when = (t: string) => (Number.isNaN(Date.parse(t)) ? String(t) : `${exact(t)} ${timeZone()}`);
  const rows: [string, React.ReactNode, boolean?][] = [
    ["About", `${when(seal.from)} to ${when(seal.to)}`],
    ["Made", `${when(seal.created)} by ${person(seal.by)}`],
    ["Blocks listed", Number(seal.blocks).toLocaleString("en")],
    ["Bytes", `${sealed.bytes.toLocaleString("en")}`, sealed.bytes === seal.bytes],
    [
      "SHA-256",
      <CopyableText key="h" value={sealed.sha256} label="Copy the hash" />,
      sealed.sha256 === seal.sha256,
    ],
    ["Key", <CopyableText key="k" value={String(seal.key)} label="Copy the key" />, seal.key === ours],
    ["Signature", <CopyableText key="s" value={String(seal.signature)} label="Copy the signature" />],
  ];
  return (
    <Table aria-label="Seal of the report" verticalSpacing={6} layout="fixed">
      <Table.Tbody>
        {rows.map(([name, value, good]) => (
          <Table.Tr key={name}>
            <Table.Th w={120}>
              <Text size="sm" c="dimmed">
                {name}
              </Text>
            </Table.Th>
            <Table.Td>
              <Group gap="xs" wrap="nowrap">
                <Text component="div" size="sm" className="breakable">
                  {value}
                </Text>
                {good !== undefined && mark(good)}
              </Group>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
