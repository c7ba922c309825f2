import { Button, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, data, Problem } from "@/api/client";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { NewPassword } from "@/components/NewPassword";
import { faultAt, faultsOf } from "@/lib/faults";
import { roleWords } from "@/lib/roles";
import { enter } from "./door/after";
import { Door, ToSignIn } from "./door/Door";
import { Refusal } from "./door/Refusal";
import { tokenOfLink } from "./door/token";

/** Where the link of an invitation or of a reset leads: choose a password, and be signed in. */
export default function Accept() {
  const [token] = useState(tokenOfLink);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const link = useQuery({
    queryKey: ["link", token],
    queryFn: () => data(api.GET("/v1/invitations/accept", { params: { query: { token } } })),
    enabled: token !== "",
    retry: (n, e) => e instanceof Problem && (e.status === 0 || e.status === 503) && n < 5,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const accept = useMutation({
    mutationFn: () =>
      data(
        api.POST("/v1/invitations/accept", {
          body: { token, password, ...(reset ? {} : { name: name.trim() }) },
        }),
      ),
    onSuccess: () => enter(reset ? "/" : "/me"),
  });
  const reset = link.data?.kind === "reset";
  if (token === "" || link.error) {
    return (
      <Door title="The link does not work">
        {link.error instanceof Problem && (link.error.status === 0 || link.error.status >= 500) ? (
          <ProblemAlert error={link.error} retry={link.refetch} />
        ) : (
          <Text size="sm">
            It was used before, has expired, or was not copied whole. Ask an owner of this Warder for a new
            one.
          </Text>
        )}
        <ToSignIn />
      </Door>
    );
  }
  if (!link.data) {
    return (
      <Door title="Welcome">
        <Loading label="Looking at the link" />
      </Door>
    );
  }
  const faults = faultsOf(accept.error);
  const shown = faultAt(faults, "password") ?? faultAt(faults, "name");
  return (
    <Door
      title={reset ? "Choose a new password" : "Welcome to Warder"}
      about={
        reset ? (
          <>
            For <b>{link.data.email}</b>. Second factors were removed: set up a new one after this.
          </>
        ) : (
          <>
            You are invited as <b>{roleWords[link.data.role].label.toLowerCase()}</b>:{" "}
            {roleWords[link.data.role].about.toLowerCase()}. You sign in as <b>{link.data.email}</b>.
          </>
        )
      }
    >
      <form
        onSubmit={(e) => {
          e.preventDefault();
          accept.mutate();
        }}
      >
        <input type="email" autoComplete="username" value={link.data.email} readOnly hidden />
        <Stack gap="md">
          {!reset && (
            <TextInput
              label="Name"
              description="As others see it. Optional."
              autoComplete="name"
              value={name}
              onChange={(e) => setName(e.currentTarget.value)}
              error={faultAt(faults, "name")}
              maxLength={100}
              autoFocus
            />
          )}
          <NewPassword
            value={password}
            onChange={setPassword}
            error={faultAt(faults, "password")}
            autoFocus={reset}
          />
          {!shown && <Refusal error={accept.error} />}
          <Button type="submit" fullWidth loading={accept.isPending}>
            {reset ? "Set the password and sign in" : "Join"}
          </Button>
        </Stack>
      </form>
    </Door>
  );
}
