// A mail server that takes every mail and keeps it.
import { createServer, type Server } from "node:net";

export class MailServer {
  readonly mails: { to: string[]; text: string }[] = [];
  port = 0;
  private server?: Server;

  async start(): Promise<this> {
    this.server = createServer((socket) => {
      let input = "";
      let to: string[] = [];
      let reading = false;
      const say = (line: string) => socket.write(`${line}\r\n`);
      say("220 mail.example.org ready");
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        input += chunk.toString("latin1");
        for (;;) {
          if (reading) {
            const end = input.indexOf("\r\n.\r\n");
            if (end < 0) return;
            this.mails.push({ to, text: input.slice(0, end) });
            input = input.slice(end + 5);
            [reading, to] = [false, []];
            say("250 2.0.0 taken as message 4711");
            continue;
          }
          const end = input.indexOf("\r\n");
          if (end < 0) return;
          const line = input.slice(0, end);
          input = input.slice(end + 2);
          if (/^EHLO|^HELO/i.test(line)) say("250 mail.example.org");
          else if (/^RCPT TO:/i.test(line)) {
            to.push(/<(.*)>/.exec(line)?.[1] ?? "");
            say("250 2.1.5 ok");
          } else if (/^DATA/i.test(line)) {
            reading = true;
            say("354 go ahead");
          } else if (/^QUIT/i.test(line)) {
            say("221 2.0.0 bye");
            socket.end();
          } else say("250 ok");
        }
      });
    });
    await new Promise<void>((resolve) => this.server?.listen(0, "127.0.0.1", resolve));
    const at = this.server?.address();
    this.port = typeof at === "object" && at ? at.port : 0;
    return this;
  }

  stop() {
    this.server?.close();
  }
}
