import { Group, Kbd, Text, UnstyledButton } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { createSpotlight, Spotlight } from "@mantine/spotlight";
import {
  IconActivity,
  IconBan,
  IconFileSearch,
  IconNetwork,
  IconSearch,
  IconTicket,
  IconUser,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type RefObject, useEffect, useRef, useState } from "react";
import { api, data } from "@/api/client";
import { parseSearch } from "@/lib/filters";
import { type Hit, resolve } from "@/lib/resolve";
import { navigation } from "./navigation";
import "./search.css";

const [store, search] = createSpotlight();

const icons: Record<string, typeof IconSearch> = {
  Address: IconNetwork,
  Prefix: IconNetwork,
  Account: IconUser,
  Event: IconActivity,
  Events: IconActivity,
  Reference: IconTicket,
  Block: IconBan,
};

const kinds: Record<string, string> = {
  address: "Address",
  prefix: "Prefix",
  account: "Account",
  event: "Event",
  reference: "Reference",
  block: "Block",
};

/** What is typed while the search opens, before its field has the focus, goes
 * there, and is no shortcut of the page under it. */
function useFieldTakesKeys(field: RefObject<HTMLInputElement | null>) {
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      if (!store.getState().opened || !field.current || e.target === field.current) return;
      if (e.key === "Escape" || e.key === "Tab") return;
      if ((e.ctrlKey || e.metaKey) && !e.getModifierState("AltGraph")) return;
      e.stopPropagation();
      field.current.focus({ preventScroll: true });
    };
    document.addEventListener("keydown", press, true);
    return () => document.removeEventListener("keydown", press, true);
  }, [field]);
}

/** Finds addresses, accounts, events and references, and the pages. Opens on
 * "/" and Ctrl+K. */
export function Search() {
  const [text, setText] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useFieldTakesKeys(field);
  const [asked] = useDebouncedValue(text.trim(), 180);
  const navigate = useNavigate();
  const found = useQuery({
    queryKey: ["search", asked],
    queryFn: () => data(api.GET("/v1/search", { params: { query: { q: asked } } })),
    enabled: asked.length > 1,
    retry: false,
  });
  const go = (to: string) => {
    const [path = "/", search = ""] = to.split("?");
    void navigate({ to: path, search: parseSearch(search) as never });
  };
  const local = resolve(text);
  const remote: Hit[] =
    asked === text.trim()
      ? (found.data?.items ?? [])
          // A path of the answer is followed only if it is one of ours.
          .filter((h) => /^\/(?!\/)/.test(h.path))
          .map((h) => ({ kind: kinds[h.kind] ?? h.kind, title: h.value, about: h.title, to: h.path }))
      : [];
  const hits = [
    ...remote,
    ...local.filter((l) => !remote.some((r) => r.kind === l.kind && r.title === l.title)),
  ];
  const pages = navigation
    .flatMap((g) => g.entries)
    .filter((e) => !text || e.label.toLowerCase().includes(text.trim().toLowerCase()));
  const everywhere = text.trim().length > 1;
  const waiting = asked !== text.trim() || found.isFetching;
  return (
    <Spotlight.Root
      store={store}
      query={text}
      onQueryChange={setText}
      shortcut={["mod + K", "/"]}
      transitionProps={{ duration: 0 }} // the field is there for the next key
      scrollable
      maxHeight={420}
      clearQueryOnClose
      attributes={{ content: { "aria-label": "Search" } }}
    >
      <Spotlight.Search
        ref={field}
        placeholder="Address, account, event or reference"
        aria-label="Search"
        leftSection={<IconSearch size={18} stroke={1.6} />}
      />
      <Spotlight.ActionsList>
        {hits.length > 0 && (
          <Spotlight.ActionsGroup label="Found">
            {hits.map((h) => {
              const Icon = icons[h.kind] ?? IconFileSearch;
              return (
                <Spotlight.Action key={`${h.kind} ${h.title} ${h.to}`} onClick={() => go(h.to)}>
                  <Group gap="sm" wrap="nowrap" w="100%">
                    <Icon size={18} stroke={1.6} aria-hidden />
                    <Text size="sm" className="breakable" lineClamp={1} fw={550}>
                      {h.title}
                    </Text>
                    <Text size="xs" ml="auto" ta="right" lineClamp={1}>
                      {h.about && h.about !== h.title ? h.about : h.kind}
                    </Text>
                  </Group>
                </Spotlight.Action>
              );
            })}
          </Spotlight.ActionsGroup>
        )}
        {everywhere && (
          <Spotlight.ActionsGroup label="Look in">
            <Spotlight.Action
              leftSection={<IconActivity size={18} stroke={1.6} />}
              label={`Events with “${text.trim()}”`}
              onClick={() => go(`/events?q=${encodeURIComponent(text.trim())}`)}
            />
            <Spotlight.Action
              leftSection={<IconUser size={18} stroke={1.6} />}
              label={`Accounts with “${text.trim()}”`}
              onClick={() => go(`/accounts?q=${encodeURIComponent(text.trim())}`)}
            />
          </Spotlight.ActionsGroup>
        )}
        {pages.length > 0 && (
          <Spotlight.ActionsGroup label="Pages">
            {pages.map((p) => (
              <Spotlight.Action
                key={p.to}
                leftSection={<p.icon size={18} stroke={1.6} />}
                label={p.label}
                onClick={() => go(p.to)}
              />
            ))}
          </Spotlight.ActionsGroup>
        )}
        {!everywhere && hits.length + pages.length === 0 && (
          <Spotlight.Empty>{waiting ? "Searching" : "Nothing found"}</Spotlight.Empty>
        )}
      </Spotlight.ActionsList>
    </Spotlight.Root>
  );
}

/** Looks like a field, opens the search. */
export function SearchButton() {
  return (
    <UnstyledButton className="search-button" onClick={search.open} aria-keyshortcuts="/ Control+K">
      <IconSearch size={16} stroke={1.8} aria-hidden />
      <span className="visually-hidden">Search</span>
      <Text span size="sm" truncate visibleFrom="sm" flex={1} ta="left">
        Address, account, event or reference
      </Text>
      <Kbd size="xs" visibleFrom="sm">
        /
      </Kbd>
    </UnstyledButton>
  );
}
