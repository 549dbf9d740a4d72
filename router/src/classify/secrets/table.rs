//! Provider keys and tokens that can be told by their own shape.
//!
//! Each line names a kind and the shapes of its values, in the language of [`super::shape`]. The shapes are facts that the
//! providers publish: prefix, alphabet, length. Kinds whose values look like any other hex or random string are not
//! here; the words around them decide (`super::named`).

/// How sure a shape alone makes us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The prefix belongs to this provider alone.
    Prefix,
    /// The prefix is short or a word: the rest must look random.
    Random,
    /// The last six characters are a CRC-32 in base 62 of the characters after the prefix: GitHub, npm.
    Crc,
    /// Made to be published with a page or an app; identifies an account without opening it.
    Public,
}

/// The label, the shapes, and what they prove.
pub(super) type Row = (&'static str, &'static [&'static str], Proof);

/// `rows!(Proof, "kind": "shape", "shape"; …)`: labels are complete, so that they stay static.
macro_rules! rows {
    ($($proof:ident $kind:literal: $($shape:literal),+;)+) => {
        &[$((concat!("credential/", $kind), &[$($shape),+], Proof::$proof)),+]
    };
}

/// All kinds.
pub(super) const TABLE: &[Row] = rows! {
    Prefix "aws-access-key": "AKIA{u16}", "ASIA{u16}", "ABIA{u16}", "ACCA{u16}", "A3T{u17}";
    Prefix "aws-bedrock-key": "ABSK{b80-300}", "bedrock-api-key-{b40-}";
    Prefix "aws-mws-key": "amzn.mws.{h8}-{h4}-{h4}-{h4}-{h12}";
    Prefix "amazon-oauth-secret": "amzn1.oa2-cs.v1.{h64}";
    Prefix "anthropic-key": "sk-ant-{w24-}";
    Prefix "openai-key": "sk-proj-{w32-}", "sk-svcacct-{w32-}", "sk-admin-{w32-}", "sk-None-{w32-}", "sk-service-{w32-}";
    Prefix "openrouter-key": "sk-or-v1-{h64}";
    Prefix "langfuse-key": "sk-lf-{h8}-{h4}-{h4}-{h4}-{h12}";
    Random "sk-key": "sk-{a20-64}", "sk-{w36-200}";
    Prefix "langsmith-key": "lsv2_pt_{h32}_{h10}", "lsv2_sk_{h32}_{h10}", "ls__{h32}";
    Prefix "google-api-key": "AIza{w35}", "AQ.Ab8R{w40-}";
    Prefix "google-oauth-secret": "GOCSPX-{w28}";
    Prefix "google-oauth-token": "ya29.{t20-}", "1//0{w40-}";
    Crc "github-token": "ghp_{a36}", "gho_{a36}", "ghu_{a36}", "ghs_{a36-255}", "ghr_{a36-76}";
    Prefix "github-fine-grained-token": "github_pat_{w40-}";
    Prefix "gitlab-token": "glpat-{w20-300}.{l2-9}{t0-20}", "glpat-{w20-300}", "glptt-{w20-}", "gldt-{w20-}", "glrt-{w20-300}.{t4-}",
        "glrt-{w20-}", "glrtr-{w20-}", "glcbt-{t20-}", "glft-{w20-}", "glimt-{w20-}", "glagent-{w40-}", "gloas-{w40-}", "glsoat-{w20-}",
        "glffct-{w20-}", "glwt-{w20-}", "GR1348941{w20-}";
    Prefix "gitlab-session": "_gitlab_session={l32}";
    Prefix "slack-token": "xoxb-{w20-}", "xoxp-{w20-}", "xoxa-{w20-}", "xoxr-{w20-}", "xoxs-{w20-}", "xoxo-{w20-}", "xoxc-{w20-}",
        "xoxd-{t20-}", "xoxe-{w20-}", "xoxe.xoxp-{w20-}", "xoxe.xoxb-{w20-}", "xapp-{d1}-{w20-}", "xwfp-{w20-}";
    Prefix "slack-webhook": "hooks.slack.com/services/{u8-14}/{u8-14}/{a20-30}",
        "hooks.slack.com/workflows/{u8-14}/{u8-14}/{d8-}/{a20-30}", "hooks.slack.com/triggers/{u8-14}/{d8-}/{h20-40}";
    Prefix "discord-webhook": "discord.com/api/webhooks/{d15-21}/{w50-90}", "discordapp.com/api/webhooks/{d15-21}/{w50-90}";
    Prefix "teams-webhook": "outlook.office.com/webhook/{w36}@{w36}/IncomingWebhook/{h32}/{w36}", "outlook.office365.com/webhook/{w36}@{w36}/IncomingWebhook/{h32}/{w36}";
    Prefix "zapier-webhook": "hooks.zapier.com/hooks/catch/{d4-}/{l5-12}";
    Prefix "ifttt-webhook": "maker.ifttt.com/trigger/{w2-60}/with/key/{w16-}";
    Prefix "stripe-key": "sk_live_{a10-120}", "sk_test_{a10-120}", "sk_prod_{a10-120}", "rk_live_{a10-120}", "rk_test_{a10-120}",
        "rk_prod_{a10-120}", "sk_org_live_{a10-120}", "whsec_{b24-}";
    Public "stripe-publishable-key": "pk_live_{a20-120}";
    Prefix "sendgrid-key": "SG.{w20-24}.{w39-50}", "SG.{t66}";
    Prefix "mailgun-key": "key-{h32}";
    Public "mailgun-public-key": "pubkey-{h32}";
    Prefix "mailersend-key": "mlsn.{h64}";
    Prefix "mandrill-key": "md-{a22}";
    Prefix "brevo-key": "xkeysib-{h64}-{a16}", "xsmtpsib-{h64}-{a16}";
    Prefix "resend-key": "re_{a8}_{a24}";
    Crc "npm-token": "npm_{a36}";
    Prefix "pypi-token": "pypi-{w60-}";
    Prefix "rubygems-key": "rubygems_{h48}";
    Prefix "nuget-key": "oy2{l43}";
    Prefix "crates-io-token": "cio{a32}";
    Prefix "clojars-token": "CLOJARS_{l60}";
    Prefix "docker-token": "dckr_pat_{w27}", "dckr_oat_{w32}";
    Prefix "jfrog-token": "AKCp{a60-80}", "cmVmdGtu{a50-60}";
    Prefix "digitalocean-token": "dop_v1_{h64}", "doo_v1_{h64}", "dor_v1_{h64}";
    Prefix "doppler-token": "dp.pt.{a40-44}", "dp.ct.{a40-44}", "dp.sa.{a40-44}", "dp.scim.{a40-44}", "dp.audit.{a40-44}", "dp.st.{a40-44}",
        "dp.st.{w2-35}.{a40-44}";
    Prefix "heroku-key": "HRKU-{w36-}";
    Prefix "vault-token": "hvs.{w24-}", "hvb.{w24-}", "hvr.{w24-}";
    Prefix "databricks-token": "dapi{h32}-{d1}", "dapi{h32}", "dkea{h32}", "dose{h32}";
    Prefix "dynatrace-token": "dt0c01.{u24}.{u60-64}", "dt0s01.{u24}.{u60-64}", "dt0s06.{u24}.{u60-64}", "dt0s16.{u24}.{u60-64}";
    Prefix "grafana-token": "glsa_{a32}_{H8}", "glc_{b32-400}", "eyJrIjoi{k60-400}";
    Prefix "newrelic-key": "NRAK-{u27}", "NRII-{w32}", "NRJS-{h19}", "NRRA-{h42}", "NRIQ-{w32}", "NRSP-{w20-}";
    Prefix "pixie-key": "px-api-{w36}", "px-dep-{w36}";
    Prefix "sentry-token": "sntrys_{b60-}", "sntrys_{w60-}", "sntryu_{h64}", "sntrya_{h64}", "sntryi_{h64}";
    Prefix "shopify-token": "shpat_{H32}", "shpca_{H32}", "shppa_{H32}", "shpss_{H32}", "shpua_{H32}", "shptka_{H32}";
    Prefix "square-token": "sq0atp-{w22}", "sq0csp-{w43}", "EAAA{w60}";
    Public "square-application-id": "sq0idp-{w22}";
    Random "facebook-token": "EAA{a50-}";
    Prefix "adobe-secret": "p8e-{a32}", "p8e-{w32}";
    Prefix "adafruit-key": "aio_{a28}";
    Prefix "age-key": "AGE-SECRET-KEY-1{u58}", "AGE-PLUGIN-{u3-20}-1{u20-}";
    Prefix "airtable-token": "pat{a14}.{h64}";
    Random "alibaba-access-key": "LTAI{a12-26}";
    Random "tencent-access-key": "AKID{a32}", "AKID{w32}";
    Prefix "atlassian-token": "ATATT3{k50-}", "ATCTT3{k50-}", "ATSTT3{k50-}";
    Random "bitbucket-password": "ATBB{a32}";
    Random "trello-token": "ATTA{h64}", "ATTA{a72}";
    Prefix "aiven-token": "AVNS_{w16-}";
    Prefix "buildkite-token": "bkua_{h40}", "bkat_{w40-}", "bkct_{w20-}", "bkpat_{w20-}";
    Prefix "circleci-token": "CCIPAT_{a22}_{h40}", "CCIPRJ_{a22}_{h40}";
    Prefix "cloudflare-origin-ca-key": "v1.0-{h24}-{h140-150}";
    Prefix "cloudflare-token": "cfut_{a40-}", "cfat_{a40-}", "cfk_{a40-}";
    Prefix "clickhouse-key": "4b1d{a38}";
    Prefix "cockroach-key": "CCDB1_{a22}_{a40}";
    Prefix "confluent-secret": "cflt{b60}";
    Prefix "contentful-token": "CFPAT-{w43}";
    Prefix "defined-networking-key": "dnkey-{k26}-{k52}";
    Prefix "deno-token": "ddp_{a36}", "ddw_{a36}", "ddo_{a36}";
    Prefix "duffel-token": "duffel_test_{k43}", "duffel_live_{k43}";
    Prefix "easypost-key": "EZAK{a54}", "EZTK{a54}";
    Prefix "elevenlabs-key": "sk_{h48}";
    Prefix "endor-key": "endr+{a16}";
    Prefix "figma-token": "figd_{w40}", "figdr_{w40}", "figo_{w40}", "figu_{w40}";
    Prefix "firecrawl-key": "fc-{h32}";
    Prefix "flutterwave-key": "FLWSECK_TEST-{h32}-X", "FLWSECK-{h32}-X", "FLWSECK_TEST-{l12}", "FLWSECK_TEST{l12}";
    Public "flutterwave-public-key": "FLWPUBK_TEST-{h32}-X", "FLWPUBK-{h32}-X";
    Prefix "fly-token": "fo1_{w43}", "fm1a_{b100-}", "fm1r_{b100-}", "fm2_{b100-}", "fm1_{b100-}";
    Prefix "frameio-token": "fio-u-{k64}";
    Random "gocardless-token": "live_{k40}";
    Prefix "groq-key": "gsk_{a48-60}";
    Prefix "harness-token": "pat.{w22}.{a24}.{a20}", "sat.{w22}.{a24}.{a20}";
    Random "huggingface-token": "hf_{a30-40}", "api_org_{a34}", "hf_oauth_{t20-}";
    Prefix "honeycomb-key": "hcaik_{l50-60}", "hcxik_{l50-60}", "hcbik_{l50-60}", "hcamk_{l50-60}";
    Prefix "hubspot-token": "pat-na1-{w36}", "pat-eu1-{w36}", "pat-na2-{w36}", "pat-ap1-{w36}";
    Prefix "infracost-key": "ico-{a32}";
    Prefix "intercom-token": "dG9rO{b54-60}";
    Prefix "intra42-secret": "s-s4t2ud-{h64}", "s-s4t2af-{h64}", "u-s4t2ud-{h64}";
    Prefix "ionic-token": "ion_{a42}";
    Prefix "jina-key": "jina_{w56-64}";
    Prefix "openshift-token": "sha256~{w43}";
    Prefix "launchdarkly-key": "sdk-{h8}-{h4}-{h4}-{h4}-{h12}", "mob-{h8}-{h4}-{h4}-{h4}-{h12}", "api-{h8}-{h4}-{h4}-{h4}-{h12}";
    Prefix "linear-key": "lin_api_{a40}", "lin_oauth_{a40-64}", "lin_wh_{a30-}";
    Prefix "lob-key": "live_{h35}", "test_{h35}";
    Public "lob-publishable-key": "live_pub_{h31}", "test_pub_{h31}";
    Prefix "logfire-token": "pylf_v1_us_{a43}", "pylf_v1_eu_{a43}";
    Prefix "mapbox-token": "sk.eyJ{w40-}.{w20-}", "tk.eyJ{w40-}.{w20-}", "sk.{a60}.{a22}";
    Public "mapbox-public-token": "pk.eyJ{w40-}.{w20-}", "pk.{a60}.{a22}";
    Prefix "mollie-key": "live_{a30}", "test_{a30}";
    Prefix "neon-key": "napi_{l60-}";
    Prefix "netlify-token": "nfp_{w36}";
    Prefix "notion-token": "ntn_{a40-50}", "secret_{a43}";
    Prefix "nvidia-key": "nvapi-{w60-70}";
    Random "octopus-key": "API-{u25-29}";
    Prefix "onepassword-token": "ops_eyJ{b100-}", "A3-{u6}-{u11}-{u5}-{u5}-{u5}", "A3-{u6}-{u6}-{u5}-{u5}-{u5}-{u5}";
    Prefix "openvsx-token": "ovsxp_{w36}";
    Prefix "paddle-key": "pdl_live_apikey_{l26}_{a22}_{a3}", "pdl_sdbx_apikey_{l26}_{a22}_{a3}";
    Prefix "perplexity-key": "pplx-{a40-60}";
    Prefix "pinecone-key": "pcsk_{w50-}";
    Prefix "plaid-token": "access-sandbox-{w36}", "access-production-{w36}", "access-development-{w36}", "link-sandbox-{w36}",
        "link-production-{w36}";
    Prefix "planetscale-token": "pscale_tkn_{t32-64}", "pscale_pw_{t32-64}", "pscale_oauth_{t32-64}", "pscale_app_{t32-64}";
    Prefix "polar-token": "polar_oat_{w30-}", "polar_pat_{w30-}";
    Prefix "postman-key": "PMAK-{h24}-{h34}", "PMAT-{a26}";
    Prefix "posthog-key": "phx_{w40-}", "phs_{w40-}";
    Prefix "prefect-key": "pnu_{l36}", "pnb_{l36}";
    Prefix "pulumi-token": "pul-{h40}";
    Prefix "razorpay-key": "rzp_live_{a14}", "rzp_test_{a14}";
    Prefix "readme-key": "rdme_{l70}";
    Prefix "replicate-token": "r8_{a37}";
    Prefix "rootly-key": "rootly_{h64}";
    Prefix "runpod-key": "rpa_{a38-}";
    Prefix "scaleway-access-key": "SCW{u17}";
    Prefix "scalingo-token": "tk-us-{w48}";
    Prefix "settlemint-token": "sm_aat_{a16}", "sm_pat_{a16}", "sm_sat_{a16}";
    Prefix "shippo-token": "shippo_live_{h40}", "shippo_test_{h40}";
    Prefix "snyk-token": "snyk_uat.{h8}.{t40-}", "snyk_sat.{h8}.{t40-}";
    Prefix "sonarqube-token": "sqp_{h40}", "squ_{h40}", "sqa_{h40}";
    Prefix "sourcegraph-token": "sgp_{h16}_{h40}", "sgp_local_{h40}", "sgp_{h40}", "slk_{h64}", "sgs_{h40-}", "sgd_{h40-}";
    Prefix "stackhawk-key": "hawk.{w20}.{w20}";
    Prefix "supabase-key": "sbp_{h40}", "sbp_v0_{h40}", "sb_secret_{w22-}";
    Prefix "tailscale-key": "tskey-auth-{w20-}", "tskey-api-{w20-}", "tskey-client-{w20-}", "tskey-webhook-{w20-}", "tskey-scim-{w20-}";
    Prefix "tavily-key": "tvly-{w28-}";
    Prefix "telnyx-key": "KEY{u32}_{a22}", "KEY0{u29}_{a22}";
    Prefix "together-key": "tgp_v1_{w43}";
    Prefix "twitch-stream-key": "live_{d6-12}_{a28-32}";
    Prefix "typeform-token": "tfp_{t40-60}";
    Random "ubidots-key": "BBFF-{a30}", "BBUS-{a30}";
    Prefix "vercel-token": "vcp_{a50-60}", "vci_{a50-60}", "vca_{a50-60}", "vcr_{a50-60}", "vck_{a50-60}", "vercel_blob_rw_{a16}_{a24-}";
    Prefix "voyage-key": "pa-{w43}";
    Prefix "xai-key": "xai-{a70-84}";
    Prefix "yandex-key": "AQVN{w35-38}", "y0_{w50-}", "y0__{w50-}", "YCA{w37}", "YCM{w37}", "t1.{k1-400}.{k86}";
    Prefix "zoho-token": "1000.{h32}.{h32}";
    Prefix "zuplo-key": "zpka_{l32}_{h8}";
    Prefix "brave-key": "BSA{w28}";
    Prefix "cerebras-key": "csk-{l48}";
    Prefix "fireworks-key": "fw_{a22-28}";
    Prefix "e2b-key": "e2b_{h40}";
    Prefix "daytona-key": "dtn_{h64}";
    Prefix "kubernetes-service-token": "k8s-aws-v1.{w40-}";
    Prefix "lichess-token": "lip_{a20}";
    Prefix "dependency-track-key": "odt_{a32-}";
    Prefix "blynk-credential": "oa2-client-id_{w32}";
    Prefix "django-secret-key": "django-insecure-{p30-}";
    Prefix "statsig-key": "secret-{a40-48}";
    Prefix "wakatime-key": "waka_{h8}-{h4}-{h4}-{h4}-{h12}";
    Prefix "mercadopago-token": "APP_USR-{d14-18}-{d6}-{h32}-{d6-10}";
    Prefix "apify-token": "apify_api_{a36}";
    Prefix "stytch-secret": "secret-live-{w30-}", "secret-test-{w30-}";
    Prefix "axiom-token": "xaat-{w36}", "xapt-{w36}";
    Prefix "cursor-key": "key_{h60-64}";
    Prefix "codesandbox-token": "csb_v1_{w30-}";
    Prefix "exoscale-key": "EXO{h24}";
};
