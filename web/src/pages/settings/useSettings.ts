import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, Problem, type Schemas } from "@/api/client";
import { notifyDone } from "@/components/Feedback";
import { type Faults, faultAt, faultsOf } from "@/lib/faults";

export type Settings = Schemas["SettingsView"];
export type Patch = Schemas["SettingsPatch"];

/** The settings with the tag that a change of them must name. */
export function useSettings() {
  return useQuery({
    queryKey: ["settings"],
    queryFn: async () => {
      const { data, response } = await api.GET("/v1/settings");
      return { settings: data as Settings, etag: response.headers.get("ETag") ?? "" };
    },
  });
}

/** One part of the settings while it is edited. It is saved by itself, so that
 * a fault in one part keeps nobody from another. */
export function useSection<T extends object>(
  current: { settings: Settings; etag: string },
  pick: (s: Settings) => T,
  patch: (value: T) => Patch,
) {
  const queries = useQueryClient();
  const from = JSON.stringify(pick(current.settings));
  const [value, setValue] = useState<T>(() => pick(current.settings));
  // What was saved or came from elsewhere, unless an edit is under way.
  const [base, setBase] = useState(from);
  const dirty = JSON.stringify(value) !== base;
  useEffect(() => {
    if (from === base) return;
    if (!dirty) setValue(JSON.parse(from) as T);
    setBase(from);
  }, [from, base, dirty]);
  const save = useMutation({
    mutationFn: () =>
      api.PUT("/v1/settings", {
        params: { header: { "If-Match": current.etag } },
        body: patch(value),
      }),
    onSuccess: (answer) => {
      const settings = answer.data as Settings;
      setValue(pick(settings));
      setBase(JSON.stringify(pick(settings)));
      queries.setQueryData(["settings"], { settings, etag: answer.response.headers.get("ETag") ?? "" });
      void queries.invalidateQueries({ queryKey: ["status"] });
      notifyDone("Saved.");
    },
    onError: (e) => {
      if (e instanceof Problem && e.status === 412)
        void queries.invalidateQueries({ queryKey: ["settings"] });
    },
  });
  const faults: Faults = faultsOf(save.error);
  return {
    value,
    set: (change: Partial<T>) => setValue((v) => ({ ...v, ...change })),
    reset: () => {
      setValue(JSON.parse(base) as T);
      save.reset();
    },
    dirty,
    save,
    faults,
    fault: (place: string) => faultAt(faults, place),
    /** A value that the configuration of the process sets. */
    fixed: (name: string) => current.settings.read_only.includes(name),
  };
}
