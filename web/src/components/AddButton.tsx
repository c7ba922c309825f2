import { Button, type ButtonProps } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";

/** Adds one more to what stands above it. */
export function AddButton(props: ButtonProps & { onClick: () => void }) {
  return (
    <Button
      size="xs"
      variant="default"
      leftSection={<IconPlus size={14} />}
      style={{ alignSelf: "flex-start" }}
      {...props}
    />
  );
}
