// An OpenID provider with the pages that it brings itself, and beside it a forge of tokens with its own keys.
//
// ISSUER is what it calls itself, PORT where it listens (0 takes any), NAMES what its keys are called, LIFE how many
// seconds a token is good for, ALGORITHM what access tokens are signed with.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { SignJWT, base64url, exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const { ISSUER, PORT, NAMES, LIFE, ALGORITHM } = process.env;
const people = { ada: ["owners"], eve: ["watchers"], bob: [], mallory: ["owners"] };

function person(id) {
  const name = id.replace(/^id-/, "");
  return { preferred_username: name, groups: people[name] ?? [] };
}

const keys = {};
for (const algorithm of ["RS256", "PS256", "ES256", "EdDSA"]) {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const kid = `${NAMES}-${algorithm}`;
  const [secret, known] = [await exportJWK(privateKey), await exportJWK(publicKey)];
  keys[algorithm] = { kid, privateKey, secret: { ...secret, kid, alg: algorithm, use: "sig" }, known };
}

const provider = new Provider(ISSUER, {
  clients: [
    {
      client_id: "openshell",
      application_type: "native",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://127.0.0.1/callback"],
      response_types: ["code"],
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    },
  ],
  jwks: { keys: Object.values(keys).map((key) => key.secret) },
  cookies: { keys: ["for one test"] },
  conformIdTokenClaims: false,
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email", "email_verified"] },
  // Somebody logs in as id-NAME, and is called NAME.
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...person(id) }),
  }),
  extraTokenClaims: (_, token) => ({
    ...person(token.accountId),
  }),
  ttl: { AccessToken: Number(LIFE), IdToken: Number(LIFE) },
  features: {
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "openid profile email offline_access",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: Number(LIFE),
        jwt: { sign: { alg: ALGORITHM } },
      }),
    },
  },
});
provider.proxy = true;

/** A token as somebody would make it who wants to come in. */
async function forge({ how, algorithm = "RS256", kid, claims }) {
  const key = keys[algorithm];
  const head = { alg: algorithm, kid: kid ?? key?.kid, typ: "at+jwt" };
  const part = (value) => base64url.encode(JSON.stringify(value));
  if (how === "none") return `${part({ ...head, alg: "none" })}.${part(claims)}.`;
  if (how === "shared") {
    const signed = `${part({ ...head, alg: "HS256" })}.${part(claims)}`;
    const tag = createHmac("sha256", JSON.stringify(key.known)).update(signed).digest();
    return `${signed}.${base64url.encode(tag)}`;
  }
  if (how === "stranger") {
    const { privateKey } = await generateKeyPair(algorithm);
    return new SignJWT(claims).setProtectedHeader(head).sign(privateKey);
  }
  return new SignJWT(claims).setProtectedHeader(head).sign(key.privateKey);
}

const answer = provider.callback();
const server = createServer((request, response) => {
  if (request.url !== "/forge") {
    // What is in front of it ends TLS.
    request.headers["x-forwarded-proto"] = "https";
    answer(request, response);
    return;
  }
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", async () => response.end(await forge(JSON.parse(body))));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`port ${server.address().port}`));
