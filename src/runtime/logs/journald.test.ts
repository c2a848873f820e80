import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJournaldReceiver } from "./journald.ts";

/** Says when it listens, waits for a line on its input, then prints so many datagrams in hex, one a line. */
const RECEIVER = `use Socket; $| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die $!; bind(S, sockaddr_un($ARGV[0])) or die $!; print STDERR "ready\\n";
<STDIN>; for (1..$ARGV[1]) { recv(S, my $data, 1 << 20, 0); print unpack("H*", $data), "\\n"; }`;

const subject = {
  id: "0123456789abcdef",
  name: "web",
  imageId: "sha256:aabb",
  imageName: "nginx",
  command: [],
  created: "",
  hostname: "box",
  labels: { "com.example": "yes" },
  env: [],
};

test("entries reach the socket, also when its queue is full for a while", async () => {
  const dir = mkdtempSync(join(tmpdir(), "journald-"));
  const path = join(dir, "socket");
  const receiver = createJournaldReceiver({ labels: "com.example" }, subject, path);
  const { signal } = new AbortController();
  try {
    await expect(receiver.connect(signal)).rejects.toThrow("journald is not enabled on this host");
    const perl = Bun.spawn(["perl", "-e", RECEIVER, path, "100"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    expect(new TextDecoder().decode((await perl.stderr.getReader().read()).value)).toBe("ready\n");
    await receiver.connect(signal);
    const messages = Array.from({ length: 100 }, (_, i) => {
      return { stream: "stdout" as const, line: Buffer.from(`line ${i}`), timeNs: 0n, partial: undefined, segment: 1, end: i };
    });
    const sent = receiver.send(messages, signal);
    await Bun.sleep(20);
    perl.stdin.write("\n");
    await perl.stdin.end();
    await sent;
    const entries = (await new Response(perl.stdout).text()).trim().split("\n");
    const lines = entries.map((entry) => Buffer.from(entry, "hex").toString());
    expect(lines.map((line) => /MESSAGE=(.*)/.exec(line)?.[1])).toEqual(messages.map(({ line }) => line.toString()));
    expect(lines[0]).toContain("CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL=0123456789abcdef\nCONTAINER_NAME=web\n");
    expect(lines[0]).toContain("\nCOM_EXAMPLE=yes\n");
    expect(await perl.exited).toBe(0);
  } finally {
    receiver.close();
    rmSync(dir, { recursive: true });
  }
});
