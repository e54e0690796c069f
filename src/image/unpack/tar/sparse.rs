//! Sparse files: where their data belongs. GNU tar has had four forms of it. Not here: the data.

use super::super::source::{BLOCK, Source};
use super::super::stop::Stop;
use super::header::{Header, number};
use super::pax::decimal;

/// Places of data in a file: offset and length, in order, none empty.
pub(in super::super) type Places = Vec<(u64, u64)>;

/// What extended headers say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    /// Real name of the file; the header's is another one, for programs that know nothing of this.
    pub(super) name: Option<Vec<u8>>,
    real_size: Option<i64>,
    /// Form 1.0: the places come before the data.
    is_in_data: bool,
    /// Forms 0.0 and 0.1; none where the file is not sparse.
    numbers: Option<Vec<i64>>,
}

/// Places that a file may have; their number is limited for a whole layer too.
const MAX_PLACES: usize = 1 << 20;

impl PaxSparse {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        let malformed = || Stop::value("sparse map", "malformed");
        let number = || decimal(value).filter(|number| *number >= 0).ok_or_else(malformed);
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"major" => self.is_in_data = number()? == 1,
            b"minor" if number()? != 0 => return Err(malformed()),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|text| !text.is_empty());
                self.numbers = Some(numbers.map(|text| decimal(text).ok_or_else(malformed)).collect::<Result<_, _>>()?);
            }
            b"numblocks" => drop(self.numbers.get_or_insert_default()),
            b"offset" | b"numbytes" => self.numbers.get_or_insert_default().push(number()?),
            _ => {}
        }
        Ok(())
    }

    /// Length of the file and places of its data, if it is sparse, and how many bytes of the entry's data told them.
    pub(super) fn places(&self, source: &mut Source<'_>, size: u64) -> Result<Option<(u64, Places, u64)>, Stop> {
        let malformed = || Stop::value("sparse map", "malformed");
        let real_size = || self.real_size.and_then(|size| u64::try_from(size).ok()).ok_or_else(malformed);
        if self.is_in_data {
            let real_size = real_size()?;
            let (numbers, told) = numbers_in_data(source, size)?;
            return Ok(Some((real_size, checked(&numbers, real_size, size - told)?, told)));
        }
        let Some(numbers) = &self.numbers else { return Ok(None) };
        let real_size = real_size()?;
        Ok(Some((real_size, checked(numbers, real_size, size)?, 0)))
    }
}

/// Length of a sparse file in the old form of GNU, and places of its data.
pub(super) fn old_gnu(header: &Header<'_>, source: &mut Source<'_>, size: u64) -> Result<(u64, Places), Stop> {
    let malformed = || Stop::value("sparse map", "malformed");
    let (places, mut has_more, real_size) = header.sparse().ok_or_else(malformed)?;
    let real_size = u64::try_from(real_size).map_err(|_| malformed())?;
    let mut numbers = Vec::new();
    take_fields(&mut numbers, places)?;
    while has_more {
        let block = source.block()?.ok_or(Stop::End)?;
        take_fields(&mut numbers, &block[..504])?;
        has_more = block[504] != 0;
    }
    Ok((real_size, checked(&numbers, real_size, size)?))
}

/// Pairs of fields of 12 bytes, to the first empty one.
fn take_fields(numbers: &mut Vec<i64>, fields: &[u8]) -> Result<(), Stop> {
    for pair in fields.chunks_exact(24).take_while(|pair| pair[0] != 0 && pair[12] != 0) {
        for field in pair.chunks_exact(12) {
            numbers.push(number(field).ok_or_else(|| Stop::value("sparse map", "malformed"))?);
        }
        if numbers.len() > 2 * MAX_PLACES {
            return Err(Stop::value("sparse map", "too long"));
        }
    }
    Ok(())
}

/// Form 1.0: lines of digits, how many pairs follow first, filled up to whole blocks.
fn numbers_in_data(source: &mut Source<'_>, size: u64) -> Result<(Vec<i64>, u64), Stop> {
    let malformed = || Stop::value("sparse map", "malformed");
    let (mut numbers, mut line, mut told) = (Vec::new(), Vec::new(), 0);
    let mut count = None;
    while count.is_none_or(|count: usize| numbers.len() < 2 * count) {
        told += u64::try_from(BLOCK).map_err(|_| malformed())?;
        if told > size {
            return Err(malformed());
        }
        let block = source.block()?.ok_or(Stop::End)?;
        for byte in block {
            if byte != b'\n' {
                line.push(byte);
                if line.len() > 20 {
                    break;
                }
                continue;
            }
            let value = decimal(&line).filter(|value| *value >= 0).ok_or_else(malformed)?;
            line.clear();
            match count {
                None => count = usize::try_from(value).ok().filter(|count| *count <= MAX_PLACES),
                Some(_) => numbers.push(value),
            }
            if count.ok_or_else(malformed)? * 2 == numbers.len() {
                break;
            }
        }
        if line.len() > 20 {
            return Err(malformed());
        }
    }
    Ok((numbers, told))
}

/// Places from pairs of numbers: in order, within the file, and as long together as the data.
fn checked(numbers: &[i64], real_size: u64, data: u64) -> Result<Places, Stop> {
    let malformed = || Stop::value("sparse map", "malformed");
    if !numbers.len().is_multiple_of(2) || numbers.len() > 2 * MAX_PLACES {
        return Err(malformed());
    }
    let (mut places, mut free, mut sum) = (Vec::new(), 0, 0_u64);
    for pair in numbers.chunks_exact(2) {
        let offset = u64::try_from(pair[0]).map_err(|_| malformed())?;
        let length = u64::try_from(pair[1]).map_err(|_| malformed())?;
        let end = offset.checked_add(length).filter(|end| offset >= free && *end <= real_size).ok_or_else(malformed)?;
        free = end;
        sum += length;
        if length > 0 {
            places.push((offset, length));
        }
    }
    if sum == data { Ok(places) } else { Err(malformed()) }
}
