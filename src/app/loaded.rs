//! Pages of the program's own file that only the loader needed.
//! Promises to release read-only pages of that file and no others; the kernel reads them again if they are touched.
//! Leaves memory of the heap to `memory`.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A part of the program that holds addresses of others, and its tags for where the relocations lie and how long they are.
const PART_OF_ADDRESSES: u32 = 2;
const RELOCATIONS: u64 = 7;
const RELOCATIONS_LONG: u64 = 8;

/// Lets go of the table of relocations: the loader reads it once, 0.8 MiB of it, and it would count as resident for ever.
pub(super) fn let_go_of_relocations() {
    let Some(pages) = relocations_in_memory() else { return };
    #[expect(
        unsafe_code,
        reason = "The only way to tell the kernel, and sound: the pages are a private mapping of this program's file that \
                  is read only, so the kernel has nothing to throw away, and reads them again from the file if anybody \
                  looks. That spares each host 0.8 MiB of 20."
    )]
    // SAFETY: see the reason above; `relocations_in_memory` names whole pages of such a mapping only.
    let _told = unsafe {
        let begin = std::ptr::with_exposed_provenance_mut::<libc::c_void>(pages.start);
        libc::madvise(begin, pages.end - pages.start, libc::MADV_DONTNEED)
    };
}

/// Their whole pages; `None` where this is not a program of the usual form for 64 bits.
fn relocations_in_memory() -> Option<Range<usize>> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let table = relocations(&File::open("/proc/self/exe").ok()?)?;
    let page = rustix::param::page_size();
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let beginning =
        maps.lines().filter_map(Mapping::parse).find(|it| it.path == program.as_os_str() && it.offset == 0)?;
    let begin = (beginning.at.start + table.start).next_multiple_of(page);
    let end = (beginning.at.start + table.end) / page * page;
    let inside = beginning.is_read_only && begin < end && end <= beginning.at.end;
    inside.then_some(begin..end)
}

/// Where the table lies, counted from the beginning of the program.
fn relocations(file: &File) -> Option<Range<usize>> {
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    // 64 bits, little end first.
    if !head.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return None;
    }
    let (parts, each, count) = (number(&head, 32)?, u64::from(short(&head, 54)?), u64::from(short(&head, 56)?));
    for place in 0..count {
        let mut part = [0; 56];
        file.read_exact_at(&mut part, parts + place * each).ok()?;
        if part.first_chunk().map(|kind| u32::from_le_bytes(*kind)) != Some(PART_OF_ADDRESSES) {
            continue;
        }
        let (offset, bytes) = (number(&part, 8)?, number(&part, 32)?.min(64 << 10));
        let mut entries = vec![0; usize::try_from(bytes).ok()?];
        file.read_exact_at(&mut entries, offset).ok()?;
        let value = |tag: u64| {
            let entry = entries.chunks_exact(16).find(|entry| number(entry, 0) == Some(tag))?;
            usize::try_from(number(entry, 8)?).ok()
        };
        let begin = value(RELOCATIONS)?;
        return Some(begin..begin.checked_add(value(RELOCATIONS_LONG)?)?);
    }
    None
}

fn number(bytes: &[u8], place: usize) -> Option<u64> {
    bytes.get(place..)?.first_chunk().map(|number| u64::from_le_bytes(*number))
}

fn short(bytes: &[u8], place: usize) -> Option<u16> {
    bytes.get(place..)?.first_chunk().map(|number| u16::from_le_bytes(*number))
}

/// A line of `/proc/self/maps`.
struct Mapping<'a> {
    at: Range<usize>,
    is_read_only: bool,
    offset: u64,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (begin, end) = words.next()?.split_once('-')?;
        let at = usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let is_read_only = words.next()? == "r--p";
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { at, is_read_only, offset, path: words.nth(2)?.trim_start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the mapping around this address is resident, in bytes.
    fn resident(address: usize) -> usize {
        let around = |line: &str| Mapping::parse(line).is_some_and(|mapping| mapping.at.contains(&address));
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let resident = maps.lines().skip_while(|line| !around(line)).find_map(|line| line.strip_prefix("Rss:"));
        resident.unwrap().trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn the_relocations_of_a_program_are_found_and_no_longer_resident() {
        let pages = relocations_in_memory().expect("this program is of the usual form");
        assert!(pages.start.is_multiple_of(rustix::param::page_size()) && pages.len() > 100_000, "{pages:x?}");
        let before = resident(pages.start);
        let_go_of_relocations();
        // Other tests may touch what lies beside them meanwhile.
        let freed = before.saturating_sub(resident(pages.start));
        assert!(freed > pages.len() / 2, "{freed} of {} bytes", pages.len());
    }

    #[test]
    fn a_line_of_mappings_is_read_whatever_its_path() {
        let line = "55d0c8a00000-55d0c8d9b000 r--p 00000000 fe:00 1234                       /opt/with a space/agent (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.at.len(), mapping.offset, mapping.is_read_only), (0x39_b000, 0, true));
        assert_eq!(mapping.path, "/opt/with a space/agent (deleted)");
        assert!(!Mapping::parse("1000-2000 r-xp 00001000 fe:00 1234 /a").unwrap().is_read_only);
        assert!(Mapping::parse("1000-2000 rw-p 00000000 00:00 0").is_none());
        assert!(Mapping::parse("none").is_none());
    }

    #[test]
    fn what_is_no_program_has_no_relocations() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [&b""[..], b"#!/bin/sh\n", &[0x7f; 200], b"\x7fELF\x02\x01"] {
            std::fs::write(file.path(), bytes).unwrap();
            assert!(relocations(file.as_file()).is_none());
        }
    }
}
