import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import {
  exitCodeOf,
  isAlive,
  kill,
  pidfdExitStatus,
  pidfdGetFd,
  pidfdOpen,
  pidfdSendSignal,
  procStartTime,
  zombieExitCode,
} from "./pidfd.ts";
import { unameInfo } from "./process.ts";
import { thrownCode } from "./test-support.ts";

const [major = 0, minor = 0] = unameInfo().release.split(".").map(Number);
const keepsExit = major > 6 || (major === 6 && minor >= 15);

test.skipIf(!keepsExit)("pidfdExitStatus() tells code or signal once the process is reaped (needs Linux 6.15)", async () => {
  const exiting = Bun.spawn(["sh", "-c", "read line; exit 42"], { stdin: "pipe" });
  const sleeping = Bun.spawn(["sleep", "100"]);
  using a = pidfdOpen(exiting.pid);
  using b = pidfdOpen(sleeping.pid);
  expect(pidfdExitStatus(a.fd)).toBeUndefined();
  exiting.stdin.end();
  pidfdSendSignal(b.fd, 9);
  await Promise.all([exiting.exited, sleeping.exited]);
  expect(pidfdExitStatus(a.fd)).toBe(42);
  expect(pidfdExitStatus(b.fd)).toBe(137);
  expect(thrownCode(() => pidfdSendSignal(b.fd, 0))).toBe("ESRCH");
});

test("pidfdOpen() and kill() say that there is no such process", async () => {
  const child = Bun.spawn(["true"]);
  await child.exited;
  expect(thrownCode(() => pidfdOpen(child.pid))).toBe("ESRCH");
  expect(thrownCode(() => kill(child.pid, 0))).toBe("ESRCH");
  expect(isAlive(child.pid)).toBe(false);
  expect(procStartTime(child.pid)).toBeUndefined();
  expect(thrownCode(() => pidfdExitStatus(-1))).toBe("EBADF");
});

test("pidfdGetFd() copies another process's descriptor", async () => {
  const child = Bun.spawn(["cat"], { stdin: "pipe", stdout: "ignore" });
  {
    using process = pidfdOpen(child.pid);
    using output = pidfdGetFd(process.fd, 1);
    expect(readlinkSync(`/proc/self/fd/${output.fd}`)).toBe("/dev/null");
    expect(thrownCode(() => pidfdGetFd(process.fd, 500))).toBe("EBADF");
  }
  child.stdin.end();
  await child.exited;
});

test("procStartTime() tells processes apart, whatever their name", async () => {
  const child = Bun.spawn(["sh", "-c", "printf ') 1 2 (' > /proc/$$/comm; echo; exec cat"], { stdin: "pipe", stdout: "pipe" });
  await child.stdout.getReader().read();
  const mine = procStartTime(process.pid) ?? 0;
  expect(mine).toBeGreaterThan(0);
  expect(procStartTime(process.pid)).toBe(mine);
  expect(procStartTime(child.pid)).toBeGreaterThanOrEqual(mine);
  expect(isAlive(child.pid)).toBe(true);
  kill(child.pid, 15);
  await child.exited;
  expect(child.signalCode).toBe("SIGTERM");
});

test("zombieExitCode() knows how a process ended that its parent leaves unreaped", async () => {
  // a shell that became another program waits for no child; where SIGCHLD is ignored, as below nohup, nobody would have to
  const script = "exec 3<&0; (read line; exit 42) <&3 & echo $!; exec sleep 1000 3<&-";
  const parent = Bun.spawn(["env", "--default-signal=CHLD", "sh", "-c", script], { stdin: "pipe", stdout: "pipe" });
  const { value } = await parent.stdout.getReader().read();
  const pid = Number(Buffer.from(value ?? []).toString());
  while (readFileSync(`/proc/${parent.pid}/comm`, "utf8") !== "sleep\n") await Bun.sleep(1);
  parent.stdin.write("\n");
  await parent.stdin.flush();
  while (zombieExitCode(pid) === undefined) await Bun.sleep(1);
  expect(zombieExitCode(pid)).toBe(42);
  expect(zombieExitCode(process.pid)).toBeUndefined();
  parent.kill("SIGKILL");
  await parent.exited;
  expect(zombieExitCode(parent.pid)).toBeUndefined();
});

test("exitCodeOf() counts as a shell does", () => {
  expect([0, 0x2a00, 9, 0x8b, 0xff00].map(exitCodeOf)).toEqual([0, 42, 137, 139, 255]);
});
