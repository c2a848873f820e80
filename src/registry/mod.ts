export { type Credentials, InsecureRegistries, type LoginOptions, login } from "./client/mod.ts";
