/** Exchanges two names of a directory until it is killed: `swapper.ts DIRECTORY NAME NAME`. */
import { O_DIRECTORY, O_RDONLY, open, RENAME_EXCHANGE, renameat } from "../../linux/mod.ts";

const [path = "", one = "", other = ""] = process.argv.slice(2);
const { fd: dirfd } = open(path, O_RDONLY | O_DIRECTORY);
process.stdout.write("swapping\n");
for (;;) renameat({ dirfd, path: one }, { dirfd, path: other }, RENAME_EXCHANGE);
