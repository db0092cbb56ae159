//! Reading a key's packets (RFC 9580 10.1), and what they amount to at one moment.
//!
//! Invariant: only what the key has signed itself counts, and of that the newest. Certifications by others, which anybody
//! can add, are neither verified nor taken for anything.
//! What the armor wraps is bounded by [`super::public::MAX_TEXT`]; how often a signature is verified, by a count.

use std::cell::Cell;
use std::cmp::Reverse;
use std::io::{BufReader, Read as _};

use chrono::{DateTime, TimeDelta};
use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, KeyVersion, PublicParams, SignedUser, Tag};

use super::public::{MAX_TEXT, PgpFingerprint, PublicPgpKey};
use crate::clock::Timestamp;

/// Why a key is refused, to follow the name of the field.
type Result<T> = std::result::Result<T, &'static str>;

/// How many signatures of one key are verified.
const MAX_VERIFIED: u32 = 64;
/// The shortest RSA key, in bits.
const MIN_RSA_BITS: u16 = 2048;
/// The longest e-mail address, in bytes.
const MAX_EMAIL: usize = 256;

const NO_KEY: &str = "is not an armored PGP key";
const SECRET: &str = "is a private key: nobody but you may have it, so send the public one";

pub(super) fn read(text: &str, now: Timestamp) -> Result<PublicPgpKey> {
    let key = one_key(text)?;
    let judge = Judge {
        key: &key,
        now,
        left: Cell::new(MAX_VERIFIED),
    };
    let version = key.primary_key.version();
    if !matches!(version, KeyVersion::V4 | KeyVersion::V6) {
        return Err("is of a version that is not safe any more");
    }
    if !is_safe(key.primary_key.public_params()) {
        return Err(
            "has a primary key of a type or size that is not safe any more, or not known here",
        );
    }
    let primary = judge.primary()?;
    let end = judge.encryption_key(&primary)?;
    Ok(PublicPgpKey {
        text: text.to_owned(),
        fingerprint: PgpFingerprint(key.primary_key.fingerprint().as_bytes().to_vec()),
        email: primary.email,
        expiration: end,
    })
}

/// The one key of a text; packets that are none of a public key's refuse it.
fn one_key(text: &str) -> Result<SignedPublicKey> {
    if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK") {
        return Err(SECRET);
    }
    if text.matches("-----BEGIN ").count() > 1 {
        return Err("must hold one key");
    }
    let limit = DearmorOptions::new().set_limit(MAX_TEXT);
    let mut armor = Dearmor::with_options(text.as_bytes(), limit);
    armor.read_header().map_err(|_| NO_KEY)?;
    if armor.typ != Some(BlockType::PublicKey) {
        return Err(NO_KEY);
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    BufReader::new(armor)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|_| NO_KEY)?;
    let mut packets = Vec::new();
    let mut keys = 0;
    for packet in PacketParser::new(bytes.as_slice()) {
        let packet = packet.map_err(|_| "holds a packet that cannot be read")?;
        match packet {
            Packet::SecretKey(_) | Packet::SecretSubkey(_) => return Err(SECRET),
            Packet::PublicKey(_) => keys += 1,
            Packet::PublicSubkey(_)
            | Packet::Signature(_)
            | Packet::UserId(_)
            | Packet::UserAttribute(_) => {}
            // Of no meaning here (RFC 9580 5.8, 5.10, 5.14).
            Packet::Marker(_) | Packet::Trust(_) | Packet::Padding(_) => continue,
            _ => return Err(NO_KEY),
        }
        packets.push(Ok(packet));
    }
    match keys {
        0 => return Err(NO_KEY),
        1 => {}
        _ => return Err("must hold one key"),
    }
    let mut found = SignedPublicKey::from_packets(packets.into_iter().peekable());
    match (found.next(), found.next()) {
        (Some(Ok(key)), None) => Ok(key),
        _ => Err("does not have its parts in their order"),
    }
}

/// What the primary key says of itself.
struct Primary {
    email: Option<String>,
    /// When the whole key ends.
    end: Option<Timestamp>,
    /// Whether it is to be encrypted to.
    encrypts: bool,
}

/// A key and the moment at which it is looked at.
struct Judge<'a> {
    key: &'a SignedPublicKey,
    now: Timestamp,
    /// How many signatures may still be verified.
    left: Cell<u32>,
}

impl Judge<'_> {
    /// Whether the key is said to have made a signature. Anybody can write a signature into a key, so those of others
    /// are passed over before they cost anything.
    fn is_own(&self, signature: &Signature) -> bool {
        let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
        (ids.is_empty() && fingerprints.is_empty())
            || ids.contains(&&self.key.primary_key.legacy_key_id())
            || fingerprints.contains(&&self.key.primary_key.fingerprint())
    }

    /// The newest of the signatures that the key has made and that are in force; a revocation before a signature of the
    /// same second.
    fn newest<'s>(
        &self,
        signatures: &'s [Signature],
        verify: impl Fn(&Signature) -> pgp::errors::Result<()>,
    ) -> Result<Option<&'s Signature>> {
        let own = signatures.iter().filter(|one| self.is_own(one));
        let mut candidates: Vec<_> = own
            .filter_map(|one| Some(((self.in_force(one)?, is_revocation(one)), one)))
            .collect();
        candidates.sort_by_key(|(rank, _)| Reverse(*rank));
        for (_, signature) in candidates {
            self.spend()?;
            if verify(signature).is_ok() {
                return Ok(Some(signature));
            }
        }
        Ok(None)
    }

    /// When a signature was made, if it says that it holds now.
    fn in_force(&self, signature: &Signature) -> Option<Timestamp> {
        let created = moment(signature.created()?.as_secs())?;
        let life = signature.signature_expiration_time();
        let end = life.and_then(|life| later(created, life.as_secs()));
        (created <= self.now && end.is_none_or(|end| end > self.now)).then_some(created)
    }

    fn spend(&self) -> Result<()> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or("has too many signatures")?);
        Ok(())
    }

    fn primary(&self) -> Result<Primary> {
        let key = &self.key.primary_key;
        let created = moment(key.created_at().as_secs()).ok_or(NO_KEY)?;
        if created > self.now {
            return Err("was made in the future");
        }
        let details = &self.key.details;
        for revocation in details
            .revocation_signatures
            .iter()
            .filter(|one| self.is_own(one))
        {
            self.spend()?;
            if revocation.verify_key(key).is_ok() {
                return Err("is revoked");
            }
        }
        let direct = self.newest(&details.direct_signatures, |one| one.verify_key(key))?;
        let mut users = Vec::new();
        for user in &details.users {
            let verify = |one: &Signature| one.verify_certification(key, Tag::UserId, &user.id);
            let signed = self.newest(&user.signatures, verify)?;
            users.extend(
                signed
                    .filter(|one| !is_revocation(one))
                    .map(|one| (user, one)),
            );
        }
        let main = users.iter().find(|(_, one)| one.is_primary());
        let Some((_, main)) = main.or(users.first()) else {
            return Err("has no user id that it has signed itself");
        };
        // What is said of the whole key stands in either; where both say it, the earlier end holds.
        let said = [Some(*main), direct].into_iter().flatten();
        let end = said.filter_map(|one| end_of(created, one)).min();
        if end.is_some_and(|end| end <= self.now) {
            return Err("has expired");
        }
        let flags = match direct {
            Some(direct) if key.version() == KeyVersion::V6 => direct,
            _ => main,
        };
        Ok(Primary {
            email: users.iter().find_map(|(user, _)| email(user)),
            end,
            encrypts: is_for_encryption(flags) && can_encrypt(key.public_params()),
        })
    }

    /// When the newest (sub)key in force that can be encrypted to ends, or `None` if it never does.
    fn encryption_key(&self, primary: &Primary) -> Result<Option<Timestamp>> {
        let mut newest: Option<(Timestamp, Option<Timestamp>)> = None;
        for subkey in &self.key.public_subkeys {
            let found = self.subkey(subkey, primary.end)?;
            if let Some(found) = found
                && newest.is_none_or(|(created, _)| found.0 >= created)
            {
                newest = Some(found);
            }
        }
        match newest {
            Some((_, end)) => Ok(end),
            None if primary.encrypts => Ok(primary.end),
            None => Err("has no key in force that can be encrypted to"),
        }
    }

    /// When a subkey was made and ends, if it can be encrypted to now.
    fn subkey(
        &self,
        subkey: &SignedPublicSubKey,
        primary_end: Option<Timestamp>,
    ) -> Result<Option<(Timestamp, Option<Timestamp>)>> {
        if !can_encrypt(subkey.key.public_params()) {
            return Ok(None);
        }
        let primary = &self.key.primary_key;
        let binding = self.newest(&subkey.signatures, |one| {
            one.verify_subkey_binding(primary, &subkey.key)
        })?;
        let Some(binding) = binding.filter(|one| !is_revocation(one) && is_for_encryption(one))
        else {
            return Ok(None);
        };
        let Some(created) = moment(subkey.key.created_at().as_secs()) else {
            return Ok(None);
        };
        let ends = [end_of(created, binding), primary_end];
        let end = ends.into_iter().flatten().min();
        let is_in_force = created <= self.now && end.is_none_or(|end| end > self.now);
        Ok(is_in_force.then_some((created, end)))
    }
}

fn is_revocation(signature: &Signature) -> bool {
    matches!(
        signature.typ(),
        Some(
            SignatureType::KeyRevocation
                | SignatureType::SubkeyRevocation
                | SignatureType::CertRevocation
        )
    )
}

fn is_for_encryption(signature: &Signature) -> bool {
    let flags = signature.key_flags();
    flags.encrypt_comms() || flags.encrypt_storage()
}

/// Whether signatures of a primary key can be trusted, and verified at a bounded cost.
fn is_safe(params: &PublicParams) -> bool {
    match params {
        PublicParams::RSA(_) => rsa_bits(params) >= MIN_RSA_BITS,
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => true,
        _ => false,
    }
}

/// How long the modulus is: what stands before it (RFC 9580 3.2).
fn rsa_bits(params: &PublicParams) -> u16 {
    let bytes = params.to_bytes().unwrap_or_default();
    bytes
        .first_chunk()
        .map_or(0, |bits| u16::from_be_bytes(*bits))
}

fn can_encrypt(params: &PublicParams) -> bool {
    match params {
        PublicParams::RSA(_) => rsa_bits(params) >= MIN_RSA_BITS,
        PublicParams::ECDH(_) | PublicParams::X25519(_) | PublicParams::X448(_) => true,
        _ => false,
    }
}

/// When a key that was made at `created` ends by what a signature says.
fn end_of(created: Timestamp, signature: &Signature) -> Option<Timestamp> {
    later(created, signature.key_expiration_time()?.as_secs())
}

/// Zero seconds mean never (RFC 9580 5.2.3.13).
fn later(from: Timestamp, seconds: u32) -> Option<Timestamp> {
    (seconds > 0).then(|| from + TimeDelta::seconds(seconds.into()))
}

fn moment(seconds: u32) -> Option<Timestamp> {
    DateTime::from_timestamp(seconds.into(), 0)
}

/// The address of a user id: `Name (comment) <address>`, or the address alone.
fn email(user: &SignedUser) -> Option<String> {
    let text = user.id.as_str()?;
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => text.trim(),
    };
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>');
    let fits = address.len() <= MAX_EMAIL && !address.contains(odd);
    let (name, host) = address.split_once('@')?;
    (fits && !name.is_empty() && !host.is_empty()).then(|| address.to_owned())
}

#[cfg(test)]
mod tests;
