//! Finds DPDK with pkg-config, compiles `shim.c`, generates the bindings.
//!
//! DPDK is linked dynamically: its poll-mode drivers are plugins that `librte_eal` loads, and they
//! need the same copy of it that we use.

use std::{
    env,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
};

/// The release line whose structures and driver arguments this workspace relies on.
const RELEASE: &str = "22.11";

/// Libraries of which a symbol is used; `pkg-config --libs` names seventy.
const LIBRARIES: [&str; 5] = ["rte_eal", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring"];

const FUNCTIONS: [&str; 21] = [
    "rte_dev_probe",
    "rte_eal_get_runtime_dir",
    "rte_eal_hotplug_remove",
    "rte_eal_init",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_close",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_macaddr_get",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    "rte_mempool_avail_count",
    "rte_mempool_free",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_version",
    "shim_.*",
];

const TYPES: [&str; 5] = ["rte_eth_stats", "rte_ether_addr", "shim_.*", "ssize_t", "__ssize_t"];

const CONSTANTS: [&str; 1] = ["SHIM_.*"];

/// Types held by pointer and never looked into.
const OPAQUE: [&str; 4] = ["rte_eth_rxconf", "rte_eth_txconf", "rte_mbuf", "rte_mempool"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dpdk-sys: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "shim.c", "shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let dpdk = pkg_config::Config::new().cargo_metadata(false).probe("libdpdk").map_err(|why| {
        format!("DPDK {RELEASE} was not found by pkg-config: apt-get install libdpdk-dev\n{why}")
    })?;
    if !dpdk.version.starts_with(RELEASE) {
        return Err(format!(
            "libdpdk is {}, the code is written for {RELEASE} (Debian 12): the layout of its \
             structures and the arguments of its drivers differ between releases",
            dpdk.version
        )
        .into());
    }

    cc::Build::new()
        .file("shim.c")
        .includes(&dpdk.include_paths)
        .flag("-include")
        .flag("rte_config.h")
        .flag("-march=corei7") // what Debian's libdpdk.pc asks of its users: SSE4.2
        .opt_level(3)
        .define("_GNU_SOURCE", None) // fopencookie
        .std("gnu11")
        .warnings(true)
        .extra_warnings(true)
        .flag("-Wno-unused-parameter") // DPDK's own inlines
        .try_compile("pollux_dpdk_shim")?;
    for path in &dpdk.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }

    let mut bindings = bindgen::Builder::default()
        .header("shim.h")
        .clang_args(dpdk.include_paths.iter().map(|path| format!("-I{}", path.display())))
        .clang_args(["-include", "rte_config.h", "-march=corei7"])
        .allowlist_recursively(false)
        .derive_default(true)
        .no_default("shim_(tx_buffer|pool_conf|port_info|rx|tx)")
        .generate_comments(false)
        .prepend_enum_name(false)
        .formatter(bindgen::Formatter::None);
    for name in OPAQUE {
        bindings = bindings
            .raw_line(format!("#[repr(C)] #[derive(Debug)] pub struct {name} {{ _own: [u8; 0] }}"));
    }
    for function in FUNCTIONS {
        bindings = bindings.allowlist_function(function);
    }
    for name in TYPES {
        bindings = bindings.allowlist_type(name);
    }
    for constant in CONSTANTS {
        bindings = bindings.allowlist_var(constant);
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("bindings.rs");
    // bindgen reports a missing libclang by panicking.
    let bindings = catch_unwind(AssertUnwindSafe(|| bindings.generate()))
        .map_err(|_| "libclang was not found: apt-get install libclang-dev")?
        .map_err(|why| format!("bindgen: {why}: apt-get install clang libclang-dev"))?;
    bindings.write_to_file(out)?;
    Ok(())
}
