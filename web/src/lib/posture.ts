import { useQuery } from "@tanstack/react-query";
import { api, data, Problem, type Schemas } from "@/api/client";

export type Reason = Schemas["Reason"];

/** How well the platform is protected right now, in one word and in detail. */
export type Posture = {
  state: "unknown" | "away" | "off" | "observing" | "attention" | "protecting";
  title: string;
  about: string;
  reasons: Reason[];
  mode?: string;
  rules: number;
  preset?: string;
};

type Document = Schemas["Document"];

/** The preset that a policy's rules are, if they are one's unchanged. */
export function presetOf(
  policy: Document,
  presets: { name: string; document?: unknown }[],
): string | undefined {
  const rules = JSON.stringify(policy.activity?.rules ?? []);
  const same = presets.filter(
    (p) => JSON.stringify((p.document as Document)?.activity?.rules ?? []) === rules,
  );
  return (same.find((p) => (p.document as Document).mode === policy.mode) ?? same[0])?.name;
}

/** Puts readiness and policy together. */
export function posture(
  ready: Schemas["Readiness"] | undefined,
  policy: Document | undefined,
  presets: { name: string; document?: unknown }[],
  failed: boolean,
): Posture {
  const reasons = ready?.degraded ?? [];
  const rules =
    policy?.activity?.enabled === false
      ? 0
      : (policy?.activity?.rules ?? []).filter((r) => r.enabled !== false && r.mode !== "off").length;
  const base = { reasons, rules, mode: policy?.mode, preset: policy && presetOf(policy, presets) };
  if (failed) {
    return {
      ...base,
      state: "away",
      title: "Not reached",
      about: "Warder does not answer. The page tries again by itself.",
    };
  }
  if (!ready || !policy) return { ...base, state: "unknown", title: "Looking", about: "" };
  if (!ready.ready)
    return { ...base, state: "away", title: "Starting", about: "Warder is loading what it knows." };
  if (policy.enabled === false || policy.mode === "off") {
    return {
      ...base,
      state: "off",
      title: "Switched off",
      about: "Events are stored, but nothing is counted and nobody is refused.",
    };
  }
  if (policy.mode === "observe") {
    return {
      ...base,
      state: "observing",
      title: "Observing",
      about: "Rules say what they would do. Nobody is refused, except by blocks made by hand.",
    };
  }
  if (reasons.length > 0) {
    return {
      ...base,
      state: "attention",
      title: "Needs attention",
      about: `Attackers are stopped, but ${reasons.length === 1 ? "one thing is" : `${reasons.length} things are`} not as it should be.`,
    };
  }
  return {
    ...base,
    state: "protecting",
    title: "Protecting",
    about: "Attackers are stopped by the rules in force.",
  };
}

/** How well the platform is protected: /readyz and the policy. */
export function usePosture(): Posture {
  const ready = useQuery({
    queryKey: ["readyz"],
    queryFn: async () => {
      try {
        return await data<Schemas["Readiness"]>(api.GET("/readyz"));
      } catch (e) {
        // While everything is being loaded the answer is 503 with the same body.
        if (e instanceof Problem && e.status === 503 && "ready" in e.body)
          return e.body as Schemas["Readiness"];
        throw e;
      }
    },
    refetchInterval: 15_000,
    retry: 1,
  });
  const policy = useQuery({
    queryKey: ["policy", "document"],
    queryFn: () => data(api.GET("/v1/policy")) as unknown as Promise<Document>,
  });
  const presets = useQuery({
    queryKey: ["policy", "presets"],
    queryFn: () => data(api.GET("/v1/policy/presets")),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return posture(ready.data, policy.data, (presets.data?.items ?? []) as never, ready.isError);
}
