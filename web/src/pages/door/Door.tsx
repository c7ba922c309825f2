import { Anchor, Box, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { Logo } from "@/shell/Logo";
import classes from "./Door.module.css";

/** A page before somebody is signed in: one thing to do, in the middle. */
export function Door(props: { title: string; about?: ReactNode; children: ReactNode; wide?: boolean }) {
  useEffect(() => {
    document.title = `${props.title} · Warder`;
  }, [props.title]);
  return (
    <Box component="main" className={classes.page}>
      <Box className={classes.logo}>
        <Logo />
      </Box>
      <Box className={`surface ${classes.card}`} data-wide={props.wide || undefined}>
        <Stack gap="lg">
          <div>
            <Title order={1} fz={22}>
              {props.title}
            </Title>
            {props.about && (
              <Text component="div" size="sm" c="dimmed" mt={4}>
                {props.about}
              </Text>
            )}
          </div>
          {props.children}
        </Stack>
      </Box>
    </Box>
  );
}

export function ToSignIn() {
  return (
    <Anchor href="/sign-in" size="sm">
      To the sign-in
    </Anchor>
  );
}
