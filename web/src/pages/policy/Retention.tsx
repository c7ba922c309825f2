import { Loading, ProblemAlert } from "@/components/Feedback";
import { useMe } from "@/lib/me";
import { RetentionSection } from "../settings/Retention";
import { useSettings } from "../settings/useSettings";
import { useEdit } from "./context";

/** Retention is a setting of the process, not a part of the document; people look for it here. */
export function Retention() {
  const { can } = useMe();
  const { readOnly } = useEdit();
  const settings = useSettings();
  if (settings.data) return <RetentionSection current={settings.data} readOnly={readOnly && !can("admin")} />;
  return settings.error ? (
    <ProblemAlert error={settings.error} retry={settings.refetch} />
  ) : (
    <Loading label="Loading the settings" />
  );
}
