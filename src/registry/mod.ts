export { type Credentials, connectionFailure, InsecureRegistries, type LoginOptions, login } from "./client/mod.ts";
