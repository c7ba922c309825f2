import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, data } from "@/api/client";
import type { Doc } from "./draft";

export type InForce = { doc: Doc; etag: string; revision: number; readOnly: boolean };

/** The policy in force, with the tag that a change of it must name. */
export function usePolicyInForce() {
  return useQuery({
    queryKey: ["policy"],
    queryFn: async (): Promise<InForce> => {
      const { data: doc, response } = await api.GET("/v1/policy");
      const etag = response.headers.get("ETag") ?? "";
      return {
        doc: doc as unknown as Doc,
        etag,
        revision: Number(etag.replaceAll('"', "")) || 0,
        readOnly: response.headers.get("X-Warder-Read-Only") !== null,
      };
    },
  });
}

export const checkPolicy = (body: { policy?: Doc; yaml?: string }) =>
  data(api.POST("/v1/policy/validate", { body }));

/** What is wrong with a document, and how it reads as YAML. */
export function usePolicyCheck(doc: Doc | undefined) {
  return useQuery({
    queryKey: ["policy-check", JSON.stringify(doc)],
    queryFn: () => checkPolicy({ policy: doc as Doc }),
    enabled: doc !== undefined,
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
}

export const putPolicy = async (doc: Doc, etag: string, comment: string) =>
  data(
    api.PUT("/v1/policy", {
      params: { query: comment ? { comment } : {}, header: { "If-Match": etag } },
      body: doc as never,
    }),
  );

export const usePresets = () =>
  useQuery({
    queryKey: ["policy-presets"],
    queryFn: () => data(api.GET("/v1/policy/presets")),
    staleTime: Number.POSITIVE_INFINITY,
  });
