export { InsecureRegistries } from "./insecure.ts";
export { type Credentials, type LoginOptions, login } from "./login.ts";
export { connectionFailure } from "./request.ts";
