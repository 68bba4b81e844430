//! Manifests of which it is not known whether they outlive a power cut.

use super::*;

/// A manifest that is replaced, but of which that is not durable before it is synchronised.
#[derive(Clone, Default)]
struct LooseManifest {
    visible: MemoryManifest,
    durable: MemoryManifest,
}

impl ManifestStorage for LooseManifest {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.visible.read()
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        self.visible.replace(bytes)?;
        Err(ReplaceError::InDoubt(io::Error::from_raw_os_error(libc::ENOSPC)))
    }

    fn sync(&self) -> io::Result<()> {
        let visible = self.visible.read()?;
        visible.map_or(Ok(()), |bytes| self.durable.replace(&bytes).map_err(io::Error::from))
    }

    fn path(&self) -> PathBuf {
        self.visible.path()
    }
}

/// A world whose upkeep was to replace the manifest, and does not know whether it has.
fn in_doubt(manifest: &LooseManifest) -> World {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    let store = Store {
        log: Box::new(world.log.clone()),
        tables: Box::new(world.tables.clone()),
        manifest: Box::new(manifest.clone()),
    };
    let (writing, facts) = (writing(&world.lanes), UpkeepFacts::default());
    world.upkeep = Upkeep::new(store, world_config(), Manifest::empty(), writing, facts);
    assert_eq!(world.upkeep.step(NOW, &mut |_| true).unwrap(), Worked::Opened { unlisted: Vec::new() });
    let error = world.upkeep.step(NOW, &mut |_| true).unwrap_err();
    assert!(!error.is_no_space(), "it is not to be tried again: {error:?}");
    world
}

/// Goal: as long as it is not known which of two manifests holds, nothing is removed that either needs. Method: a manifest that
/// is replaced with an error, behind which upkeep is asked to go on all the same; a start on either.
#[test]
fn nothing_is_removed_while_the_manifest_is_in_doubt() {
    let manifest = LooseManifest::default();
    let mut world = in_doubt(&manifest);
    for _ in 0..10 {
        assert_eq!(world.upkeep.step(NOW, &mut |_| true).unwrap(), Worked::Idle);
    }
    world.manifest = manifest.visible;
    world.check();
    // The power fails, and the old one is back.
    world.manifest = manifest.durable;
    world.check();
}

/// Goal: a start may rely on the manifest that it finds, though a power cut after it might have brought back the one before. Method: a
/// manifest of which it was not known whether it holds; a new process finds it, and before and after each of its steps the power
/// may fail.
#[test]
fn a_manifest_that_a_start_finds_is_durable_before_anything_is_removed() {
    let manifest = LooseManifest::default();
    let mut world = in_doubt(&manifest);
    let store = Store {
        log: Box::new(world.log.clone()),
        tables: Box::new(world.tables.clone()),
        manifest: Box::new(manifest.clone()),
    };
    let found = Manifest::open(&manifest, &world.tables).expect("the store is sound");
    assert!(!found.tables.is_empty() && manifest.durable.read().unwrap().is_none());
    world.upkeep = Upkeep::new(store, world_config(), found, writing(&world.lanes), UpkeepFacts::default());
    world.manifest = manifest.durable;
    let mut removed = 0;
    loop {
        world.check();
        match world.upkeep.step(NOW, &mut |_| true) {
            Ok(Worked::Idle) => break,
            Ok(Worked::RemovedSegment(_)) => removed += 1,
            Ok(_) => {}
            // The next manifest is loose again, and the one before it holds.
            Err(error) => assert!(matches!(error, UpkeepError::Manifest { .. }), "{error:?}"),
        }
    }
    assert!(removed > 0, "nothing was removed");
}
