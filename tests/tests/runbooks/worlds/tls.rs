//! A server that speaks TLS, with certificates of an issuer of its own.

use stemedb_tests::machine::Host;

use super::fails;
use crate::installed;
use crate::walk::Walk;

/// Makes an issuer, which signs for the server and for clients.
const ISSUER: &str = "install -d /etc/stemedb/tls && cd /etc/stemedb/tls && \
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=an issuer' -keyout ca-key.pem -out ca.pem && \
    cp ca.pem clients.pem";

/// Puts a new certificate, and its key, in the place of old ones, whose owner and mode they get. Both are there when the first one is put: the
/// server looks every two seconds, and would refuse the one without the other.
fn issue(host: &Host, certificate: &str, key: &str, days: u32) {
    host.typed(&format!(
        "cd /etc/stemedb/tls && \
         openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout issued-key.pem -out request.pem && \
         openssl x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days {days} \
         -extfile <(echo subjectAltName=DNS:localhost) -out issued.pem && \
         cat issued-key.pem >{key} && cat issued.pem >{certificate}"
    ));
}

#[test]
fn tls_is_set_up_renewed_and_asked_of_clients_by_its_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/tls.md", &host);
    walk.in_directory("/etc/stemedb/tls");
    host.typed(ISSUER);
    issue(&host, "cert.pem", "key.pem", 10);
    let settings = |text: &str| {
        host.write("/root/settings", text);
        host.typed("cat /root/settings >>/etc/stemedb/stemedb.env");
    };
    settings(&walk.settings("Setting it up"));
    walk.types("Setting it up");

    issue(&host, "cert.pem", "other-key.pem", 20);
    fails(&host, "systemctl restart stemedb-api");
    let said = walk.types("The server does not start");
    assert!(said.contains("key values mismatch") && said.contains("notAfter="), "{said}");
    let belong_together = walk.types("Do key and certificate belong together");
    let (of_certificate, of_key) = belong_together.split_at(belong_together.len() / 2);
    assert_ne!(of_certificate, of_key);
    issue(&host, "cert.pem", "key.pem", 20);
    host.typed("chown root:stemedb key.pem 2>/dev/null; systemctl reset-failed stemedb-api; systemctl restart stemedb-api");

    issue(&host, "cert.pem", "key.pem", 25);
    walk.types_next("Renewing a certificate");
    host.wait_until("the new one is in use", || host.log().contains("TLS certificate reloaded"));
    // Whoever asks for a look would have it refused, and counted, once more.
    issue(&host, "cert.pem", "other-key.pem", 28);
    let refusals = "curl --cacert /etc/stemedb/tls/ca.pem https://localhost:18180/metrics | \
                    grep -x 'stemedb_tls_reload_failures_total 1'";
    host.wait_until("it is refused", || host.output(refusals).status.success());
    let shown = walk.types("Renewing a certificate");
    assert!(shown.contains("stemedb_tls_reload_failures_total 1"), "{shown}");

    host.typed("cd /etc/stemedb/tls && openssl x509 -in cert.pem -noout -subject");
    issue(&host, "cert.pem", "key.pem", 29);
    issue(&host, "client.pem", "client-key.pem", 5);
    // It is that of whoever types.
    host.typed("chmod 644 /etc/stemedb/tls/client-key.pem");
    settings(&walk.settings("Client certificates"));
    walk.types("Client certificates");
    fails(&host, "curl --cacert /etc/stemedb/tls/ca.pem https://localhost:18180/ready");
    walk.ends();
}
