import { readFileSync, writeFileSync } from "node:fs";
import { DhowError, type Logger } from "../lib/mod.ts";

const PATH = "/proc/sys/net/ipv4/ip_forward";

/** Switches the host's IPv4 forwarding on, without which a bridge leads nowhere. @throws forbidden */
export function enableForwarding(log: Logger): void {
  if (readFileSync(PATH, "utf8").trim() === "1") return;
  try {
    writeFileSync(PATH, "1");
  } catch (cause) {
    throw new DhowError("forbidden", `switch on ${PATH}: not permitted; set net.ipv4.ip_forward=1 or start with --ip-forward=false`, {
      cause,
    });
  }
  log.info("ip forwarding switched on");
}
