// Passkeys: the API speaks JSON with binary values in base64url, the browser
// speaks ArrayBuffer.

type Json = Record<string, unknown>;

export const bytes = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

export const base64url = (buffer: ArrayBuffer | Uint8Array) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer as ArrayBuffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

/** Whether this browser can do passkeys where the dashboard was opened. */
export const passkeysWork = () => typeof PublicKeyCredential === "function" && window.isSecureContext;

const publicKey = (options: unknown) => {
  const o = options as Json;
  return (o.publicKey ?? o) as Json;
};
const descriptors = (list: unknown) =>
  Array.isArray(list) ? list.map((d: Json) => ({ ...d, id: bytes(d.id as string) })) : undefined;

/** Asks the browser for a new passkey. */
export async function createPasskey(options: unknown): Promise<Json> {
  const o = publicKey(options);
  const user = o.user as Json;
  const made = (await navigator.credentials.create({
    publicKey: {
      ...o,
      challenge: bytes(o.challenge as string),
      user: { ...user, id: bytes(user.id as string) },
      excludeCredentials: descriptors(o.excludeCredentials),
    } as unknown as PublicKeyCredentialCreationOptions,
  })) as PublicKeyCredential;
  const answer = made.response as AuthenticatorAttestationResponse;
  return {
    ...common(made),
    response: {
      clientDataJSON: base64url(answer.clientDataJSON),
      attestationObject: base64url(answer.attestationObject),
      transports: answer.getTransports?.() ?? [],
    },
  };
}

/** Asks the browser to prove a passkey. */
export async function provePasskey(options: unknown): Promise<Json> {
  const o = publicKey(options);
  const made = (await navigator.credentials.get({
    publicKey: {
      ...o,
      challenge: bytes(o.challenge as string),
      allowCredentials: descriptors(o.allowCredentials),
    } as unknown as PublicKeyCredentialRequestOptions,
  })) as PublicKeyCredential;
  const answer = made.response as AuthenticatorAssertionResponse;
  return {
    ...common(made),
    response: {
      clientDataJSON: base64url(answer.clientDataJSON),
      authenticatorData: base64url(answer.authenticatorData),
      signature: base64url(answer.signature),
      ...(answer.userHandle ? { userHandle: base64url(answer.userHandle) } : {}),
    },
  };
}

const common = (c: PublicKeyCredential) => ({
  id: c.id,
  rawId: base64url(c.rawId),
  type: c.type,
  authenticatorAttachment: c.authenticatorAttachment ?? undefined,
  clientExtensionResults: c.getClientExtensionResults(),
});

/** What to tell somebody whose passkey did not work. undefined: they called it off. */
export function passkeyTrouble(error: unknown): string | undefined {
  if (!(error instanceof DOMException)) return undefined;
  switch (error.name) {
    case "NotAllowedError":
    case "AbortError":
      return "The passkey was not used: the browser was told to stop, or nobody answered in time.";
    case "InvalidStateError":
      return "This device holds a passkey of yours already.";
    case "SecurityError":
      return "Passkeys do not work at this address. Open the dashboard by its host name over https, or as localhost.";
    default:
      return error.message;
  }
}
