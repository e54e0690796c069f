//! Manifests as tools write them, and as nobody should.

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn image(layers: &[&str]) -> serde_json::Value {
    let config = "application/vnd.oci.image.config.v1+json";
    let of = |media_type: &str| serde_json::json!({ "mediaType": media_type, "digest": DIGEST, "size": 7 });
    let layers: Vec<_> = layers.iter().map(|layer| of(layer)).collect();
    serde_json::json!({ "schemaVersion": 2, "mediaType": OCI, "config": of(config), "layers": layers })
}

fn read_value(value: &serde_json::Value) -> Result<Manifest, ManifestError> {
    read(value.to_string().as_bytes(), None)
}

fn entry(platform: Option<&str>, media_type: &str) -> IndexEntry {
    let manifest = Descriptor { digest: DIGEST.parse().unwrap(), size: 1, media_type: media_type.to_owned() };
    IndexEntry { manifest, platform: platform.map(|platform| platform.parse().unwrap()) }
}

#[test]
fn layers_of_both_families_are_known_by_how_they_are_packed() {
    let layers = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ];
    let Manifest::Image(image) = read_value(&image(&layers)).unwrap() else { panic!("an image") };
    let found: Vec<_> = image.layers.iter().map(|layer| layer.compression).collect();
    assert_eq!(found, [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Gzip]);
}

#[test]
fn foreign_and_unknown_layers_are_refused_by_name() {
    for foreign in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let error = read_value(&image(&[foreign])).unwrap_err();
        assert!(matches!(error, ManifestError::ForeignLayer { .. }), "{error}");
        assert!(error.to_string().contains(foreign), "{error}");
    }
    let error = read_value(&image(&["application/vnd.oci.image.layer.v1.tar+lz4"])).unwrap_err();
    assert!(matches!(error, ManifestError::UnknownLayer { .. }), "{error}");
}

#[test]
fn schema_1_is_refused_by_name_however_it_is_known() {
    let by_content = br#"{"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []}"#;
    assert!(matches!(read(by_content, None), Err(ManifestError::Schema1)));
    let by_type = Some("application/vnd.docker.distribution.manifest.v1+prettyjws; charset=utf-8");
    assert!(matches!(read(b"{}", by_type), Err(ManifestError::Schema1)));
}

#[test]
fn what_two_readers_could_read_as_two_things_is_refused() {
    let mut both = image(&[]);
    both["manifests"] = serde_json::json!([]);
    assert!(matches!(read_value(&both), Err(ManifestError::Form(_))));
    let mut lying = image(&[]);
    lying["mediaType"] = INDEX.into();
    assert!(matches!(read_value(&lying), Err(ManifestError::Form(_))));
}

#[test]
fn a_chart_is_no_image() {
    let mut chart = image(&[]);
    chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into();
    let error = read_value(&chart).unwrap_err();
    assert!(matches!(&error, ManifestError::NoImage(what) if what.contains("helm")), "{error}");
}

#[test]
fn digests_and_sizes_that_are_none_are_refused() {
    for (key, value) in [("digest", serde_json::json!("sha256:../../x")), ("size", serde_json::json!(-1))] {
        let mut wrong = image(&["application/vnd.oci.image.layer.v1.tar"]);
        wrong["layers"][0][key] = value;
        assert!(matches!(read_value(&wrong), Err(ManifestError::Form(_))));
    }
    for bytes in [&b""[..], b"[]", b"\xff", b"{\"schemaVersion\":2}", b"{\"schemaVersion\":3,\"layers\":[]}"] {
        assert!(matches!(read(bytes, Some(OCI)), Err(ManifestError::Form(_))), "{bytes:?}");
    }
    let many = vec!["application/vnd.oci.image.layer.v1.tar"; LAYERS_MAX + 1];
    assert!(matches!(read_value(&image(&many)), Err(ManifestError::TooManyLayers(_))));
}

#[test]
fn the_platform_asked_for_comes_first_then_what_may_hold_it() {
    let entries = [
        entry(Some("linux/arm64"), OCI),
        entry(None, OCI),
        entry(None, INDEX),
        entry(Some("linux/amd64/v3"), OCI),
        entry(Some("linux/amd64/v2"), OCI),
        entry(Some("linux/amd64"), OCI),
        entry(Some("unknown/unknown"), OCI),
    ];
    let found: Vec<_> = candidates(&entries, &Platform::machine());
    assert_eq!(found, [&entries[5], &entries[4], &entries[3], &entries[2], &entries[1]]);
    let arm = "linux/arm64/v8".parse().unwrap();
    assert_eq!(candidates(&entries, &arm)[0], &entries[0]);
}

#[test]
fn a_config_says_its_platform_or_nothing() {
    let platform = |text: &str| platform_of_config(text.as_bytes()).unwrap().map(|platform| platform.to_string());
    assert_eq!(platform(r#"{"os":"linux","architecture":"arm","variant":"v7"}"#).as_deref(), Some("linux/arm/v7"));
    assert_eq!(platform("{}"), None);
    assert!(platform_of_config(b"[").is_err());
}
