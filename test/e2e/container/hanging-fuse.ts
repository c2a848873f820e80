/**
 * Mounts a FUSE at the path that is its argument and never answers: whoever looks into it waits. Says "mounted", and holds the file system
 * until it is killed.
 */
import { openSync } from "node:fs";
import { mount } from "../../../src/linux/mod.ts";

const [path = ""] = process.argv.slice(2);
const fd = openSync("/dev/fuse", "r+");
mount("hanging", path, "fuse", 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
console.log("mounted");
setInterval(() => {}, 60_000);
