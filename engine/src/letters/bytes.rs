//! Bytes in JSON.

/// Bytes as JSON has them: text where they are, hexadecimal digits where they are not.
pub(super) struct Bytes(Option<Vec<u8>>);

impl From<Option<Vec<u8>>> for Bytes {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Bytes {
    /// Puts them where they belong.
    pub fn put(self, text: &mut Option<String>, hex: &mut Option<String>) {
        match self.0.map(String::from_utf8) {
            None => {}
            Some(Ok(whole)) => *text = Some(whole),
            Some(Err(error)) => *hex = Some(error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    /// Reads them from where they are.
    pub fn get(text: Option<&str>, hex: Option<&str>) -> Option<Vec<u8>> {
        match (text, hex) {
            (Some(text), _) => Some(text.as_bytes().to_vec()),
            (None, Some(hex)) => {
                let digits = hex.as_bytes().chunks(2);
                let byte = |pair: &[u8]| {
                    let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                    u8::from_str_radix(digits, 16).ok()
                };
                digits.map(byte).collect()
            }
            (None, None) => None,
        }
    }
}
