//! Pages of the program's own file that nothing needs any more: what the loader read, and code and constants of what is over.
//! Promises to release pages of that file that nobody has written to or can write to, and no others; the kernel maps them
//! again when they are touched.
//! Leaves memory of the heap to `memory`.

use std::ops::Range;
use std::path::Path;

/// Lets go of the program's code and constants, and of the table of relocations among them. What is still needed comes back from
/// the page cache with the next steps; what only the loader, the start, or the work that is over needed does not.
pub(super) fn let_go() {
    let (Ok(path), Ok(maps)) = (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    for pages in unwritten(&maps, &path) {
        #[expect(
            unsafe_code,
            reason = "The only way to tell the kernel, and sound: the pages are a private mapping of this program's file \
                      that nobody can write to or has written to, so the kernel has nothing to throw away, and reads them \
                      again from the file if anybody looks. That spares each host several MiB."
        )]
        // SAFETY: see the reason above; `unwritten` names whole mappings of that kind only.
        let _told = unsafe {
            let begin = std::ptr::with_exposed_provenance_mut::<libc::c_void>(pages.start);
            libc::madvise(begin, pages.end - pages.start, libc::MADV_DONTNEED)
        };
    }
}

/// Where the file of the program is mapped and was never written to, by `/proc/self/maps`: its code, and what the file begins
/// with. The loader writes addresses into another part, which is read only afterwards and never the first.
fn unwritten(maps: &str, program: &Path) -> impl Iterator<Item = Range<usize>> {
    let mappings = maps.lines().filter_map(Mapping::parse).filter(move |it| it.path == program.as_os_str());
    mappings.filter(|it| it.access == "r-xp" || (it.access == "r--p" && it.offset == 0)).map(|it| it.at)
}

/// A line of `/proc/self/maps`.
struct Mapping<'a> {
    at: Range<usize>,
    access: &'a str,
    offset: u64,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (begin, end) = words.next()?.split_once('-')?;
        let at = usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        let access = words.next()?;
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { at, access, offset, path: words.nth(2)?.trim_start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// How much of the mapping around this address is resident, in bytes.
    fn resident(address: usize) -> usize {
        let around = |line: &str| Mapping::parse(line).is_some_and(|mapping| mapping.at.contains(&address));
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let resident = maps.lines().skip_while(|line| !around(line)).find_map(|line| line.strip_prefix("Rss:"));
        resident.unwrap().trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The program goes on all the same: what it needs next is there again.
    #[test]
    fn what_is_let_go_of_is_no_longer_resident_and_is_there_when_it_is_needed() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let pages: Vec<_> = unwritten(&maps, &std::fs::read_link("/proc/self/exe").unwrap()).collect();
        assert_eq!(pages.len(), 2, "this program is of the usual form: {pages:x?}");
        let memory = File::open("/proc/self/mem").unwrap();
        let bytes_at = |at: usize| {
            let mut bytes = [0; 64];
            memory.read_exact_at(&mut bytes, at as u64).map(|()| bytes).unwrap()
        };
        // Each page is looked at, so that all of them are resident, whatever else runs.
        let look = |pages: &Range<usize>| pages.clone().step_by(4096).map(bytes_at).collect::<Vec<_>>();
        let held: Vec<_> = pages.iter().map(look).collect();
        let all = || pages.iter().map(|pages| resident(pages.start)).sum::<usize>();
        let before = all();
        let_go();
        // Other tests touch what they need meanwhile.
        let after = all();
        assert!(before > 1_000_000 && after < before / 2, "{before} bytes before, {after} after");
        assert!(pages.iter().map(look).eq(held), "what is there is what was there");
    }

    #[test]
    fn only_the_programs_own_file_is_let_go_of_and_nothing_that_was_ever_written_to() {
        let maps = "\
            1000-2000 r--p 00000000 fe:00 7                          /a/gent\n\
            2000-4000 r-xp 00001000 fe:00 7                          /a/gent\n\
            4000-5000 r--p 00003000 fe:00 7                          /a/gent\n\
            5000-6000 rw-p 00004000 fe:00 7                          /a/gent\n\
            6000-7000 rwxp 00005000 fe:00 7                          /a/gent\n\
            7000-8000 r--s 00000000 fe:00 7                          /a/gent\n\
            8000-9000 r-xp 00000000 fe:00 8                          /lib/libc.so.6\n\
            9000-a000 rw-p 00000000 00:00 0                          [heap]\n\
            a000-b000 rw-p 00000000 00:00 0\n\
            none\n";
        assert_eq!(unwritten(maps, Path::new("/a/gent")).collect::<Vec<_>>(), [0x1000..0x2000, 0x2000..0x4000]);
        assert_eq!(unwritten(maps, Path::new("/a")).count(), 0);
    }

    #[test]
    fn a_line_of_mappings_is_read_whatever_its_path() {
        let line = "55d0c8a00000-55d0c8d9b000 r--p 00000000 fe:00 1234                       /opt/with a space/agent (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.at.len(), mapping.offset, mapping.access), (0x39_b000, 0, "r--p"));
        assert_eq!(mapping.path, "/opt/with a space/agent (deleted)");
    }
}
