//! What somebody needs who looks into an incident is collected.

use stemedb_tests::Installation;

#[test]
fn diagnostics_are_collected_and_hide_secrets() {
    let installation = Installation::new();
    installation.start();
    let url = installation.url();
    let output = installation.typed(&format!("MINIO_SECRET_KEY=hunter2 stemedb-admin diagnose --url {url}"));
    assert!(output.contains(" in ./incident-"), "{output}");
    let there = installation.typed("ls incident-*");
    for name in ["health.json", "metrics.txt", "environment.txt", "disk.txt", "process.txt", "metadata.json"]
    {
        assert!(there.lines().any(|line| line == name), "no {name} in {there}");
    }
    assert_eq!(installation.typed("cat incident-*/environment.txt"), "MINIO_SECRET_KEY=[hidden]\n");
    installation.refused("grep -r hunter2 incident-*");
}

/// Goal: who collects diagnostics gets those of the server, wherever it is typed, and no word of what is not there. Method: the data is where only
/// the unit's file of settings says; it is typed elsewhere, and again when the tables are gone.
#[test]
fn diagnostics_are_of_the_unit_wherever_they_are_typed() {
    let installation = Installation::new();
    installation
        .set("STEMEDB_DB_DIR=tables/db\nMINIO_SECRET_KEY = \"hunter2\n3\"\nSTEMEDB_CONFIG=own.toml\n");
    installation.typed("mkdir tables elsewhere; echo '# Of the operator' >own.toml");
    installation.typed("STEMEDB_DB_DIR=tables/db systemctl start stemedb-api");
    let line = format!("cd elsewhere && stemedb-admin diagnose --url {}", installation.url());
    installation.typed(&line);
    installation.typed(
        "cd elsewhere/incident-* && ls metadata.json process.txt && grep 'Of the operator' config.toml",
    );
    let home = installation.home().display();
    let disk = installation.typed("cat elsewhere/incident-*/disk.txt");
    for name in ["data/wal", "tables/db", "tables"] {
        assert!(disk.contains(&format!("{home}/{name}: ")), "no {name} in {disk}");
    }
    assert_eq!(disk.matches(" free\n").count(), 3, "{disk}");
    let expected = format!(
        "# {home}/stemedb.env\nSTEMEDB_DB_DIR=tables/db\nMINIO_SECRET_KEY=[hidden]\nSTEMEDB_CONFIG=own.toml\n"
    );
    assert_eq!(installation.typed("cat elsewhere/incident-*/settings.txt"), expected);
    installation.refused("grep -r hunter2 elsewhere");

    installation.stop();
    installation.typed("mv tables tables.away; rm -r elsewhere/incident-*");
    installation.typed(&line);
    let disk = installation.typed("cat elsewhere/incident-*/disk.txt");
    assert!(disk.contains("tables/db: No such file or directory"), "{disk}");
    assert_eq!(disk.matches(" free\n").count(), 1, "{disk}");
}
