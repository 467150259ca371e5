#!/usr/bin/env perl
# Shows a scoreboard: scoreboard.pl PATH.
#
# Written from the documentation of the format alone; needs nothing but Perl with numbers of 64 bits. Texts are safe for a
# terminal, and are to be escaped for HTML.
use v5.28;
use warnings;
no warnings 'portable';
use Encode qw(decode);
use Errno  qw(ESRCH);
use Fcntl  qw(:flock);
use List::Util qw(any);

use constant { TRIES => 20, ALL => 0xFFFF_FFFF_FFFF_FFFF };
my %size = (counter => 8, gauge => 8, text => 40);

sub multiply { use integer; $_[0] * $_[1] }
sub add      { use integer; $_[0] + $_[1] }

# Sums up the words of a text of bytes, but for the one that holds the checksum.
sub checksum {
    my ($raw, $skip) = @_;
    my ($total, $i) = (0, 0);
    for my $w (unpack 'Q<*', $raw) {
        next if $i++ == $skip;
        my $m = (multiply($i, 0x9E37_79B9_7F4A_7C15) & ALL) | 1;
        my $y = multiply($w ^ $w >> 32, $m) & ALL;
        $total = add($total, $y ^ $y >> 29) & ALL;
    }
    return $total;
}

# Makes text of bytes that may be anything.
sub printable {
    my $text = decode('UTF-8', $_[0]);
    return $text =~ s/[\x00-\x1f\x7f-\x9f\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]/?/gr;
}

# Splits a text into names and values.
sub lines {
    my ($raw, $length) = @_;
    $length = length $raw if $length > length $raw;
    return map { [map { printable($_) } split /=/, $_, 2] } grep { /=/ } split /\n/, substr $raw, 0, $length;
}

sub bytes_at {
    my ($file, $offset, $size) = @_;
    my $raw = '';
    sysseek $file, $offset, 0 or die "cannot read: $!\n";
    defined sysread $file, $raw, $size or die "cannot read: $!\n";
    return $raw;
}

# Copies what is written under a sequence; undef if it never comes out right.
sub whole {
    my ($file, $offset, $size) = @_;
    for (1 .. TRIES) {
        my $raw = bytes_at($file, $offset, $size);
        next if length $raw != $size;
        my ($sequence, $found) = unpack 'Q<2', $raw;
        return $raw if $sequence % 2 == 0 && checksum($raw, 1) == $found;
    }
    return undef;
}

# Reads the title and the columns.
sub describe {
    my $raw = bytes_at($_[0], 104, 920);
    my ($title, @columns) = ('');
    return ($title) if checksum($raw, 114) != unpack 'Q<', substr $raw, 912;
    for (lines(substr($raw, 8, 904), unpack 'Q<', $raw)) {
        my ($line, $value) = @$_;
        $title = substr $value, 0, 64 if $line eq 'title';
        next if $line ne 'column' || @columns == 12;
        my ($offset, $kind, $name, $unit) =
            $value =~ /\A([0-9]{1,4}) (counter|gauge|text) ([a-z][a-z0-9_]{0,31})(?: ([a-z][a-z0-9_]{0,15}))?\z/ or next;
        next if $offset % 8 || $offset < 272 || $offset + $size{$kind} > 512 || $kind eq 'text' && defined $unit;
        next if any { $_->{name} eq $name } @columns;
        push @columns, { offset => $offset, kind => $kind, name => $name, unit => $unit };
    }
    return ($title, @columns);
}

# Says whether a process runs that has started then.
sub life {
    my ($pid, $start) = @_;
    return 'gone' if $pid < 1 || $pid > 4194304 || !kill(0, $pid) && $! == ESRCH;
    open my $stat, '<:raw', "/proc/$pid/stat" or return 'unknown';
    my ($state, @fields) = split ' ', (do { local $/; <$stat> } // '') =~ s/.*\)//sr;
    return 'unknown' if !defined $state;
    return 'gone'    if $state =~ /[ZXx]/ || $start && $fields[18] != $start;
    return $start ? 'running' : 'unknown';
}

# Says whether the owner of a board of kind 1 has its lock.
sub owner_life {
    open my $again, '<:raw', $_[0] or die "cannot open $_[0]: $!\n";
    return flock($again, LOCK_SH | LOCK_NB) ? 'gone' : 'running';
}

my $path = shift // die "usage: scoreboard.pl PATH\n";
binmode STDOUT, ':utf8';
open my $file, '<:raw', $path or die "cannot open $path: $!\n";
my $head = bytes_at($file, 0, 104);
die "$path is no scoreboard\n" if length $head < 104 || $head !~ /\APFSBOARD/;
die "the header of $path is damaged\n" if checksum($head, 12) != unpack 'Q<', substr $head, 96;
my ($version, $kind, $stride, $record, $slots, $pid) = unpack 'x8 L<6', $head;
my ($start, $namespace) = unpack 'x48 Q<2', $head;
my $good = $version == 1 && ($kind == 1 || $kind == 2) && $record == 256 && $slots >= 1 && $slots <= 65536;
die "$path is no scoreboard that can be read here\n"
    if !$good || !(any { $stride == 4096 << $_ } 0 .. 8) || -s $file < $stride * ($slots + 1);

open my $boot, '<', '/proc/sys/kernel/random/boot_id' or die "cannot read the boot id: $!\n";
my $boot_id = pack 'H*', <$boot> =~ tr/0-9a-f//cdr;
my $boot_of_board = substr $head, 64, 16;
my $this_boot = $boot_of_board eq $boot_id || $boot_of_board eq "\0" x 16;
my $here = $namespace && $namespace == ((stat '/proc/self/ns/pid')[1] // 0);
my $owner = !$this_boot ? 'gone' : $kind == 1 ? owner_life($path) : $here ? life($pid, $start) : 'unknown';

sub life_of {
    my ($pid, $start) = @_;
    return 'gone' if !$this_boot;
    return life($pid, $start) if $here && ($start || $kind == 2);
    # Of children of an owner that lives it empties the slots.
    return $kind == 1 ? $owner : 'unknown';
}

my ($title, @columns) = describe($file);
say join "\t", $title ne '' ? $title : '-', (undef, 'owned', 'shared')[$kind], $slots, $pid, $owner;
my $facts = whole($file, 1096, 3000);
say join '=', @$_ for defined $facts ? lines(substr($facts, 24), unpack 'x16 Q<', $facts) : ();
my @names = map { join '/', grep { defined } @$_{qw(name unit)} } @columns;
say join "\t", qw(slot state pid life requests), 'in hand', qw(since label client), @names;

for my $slot (0 .. $slots - 1) {
    my $at  = $stride * ($slot + 1);
    my $raw = whole($file, $at, 256);
    if (!defined $raw) {
        # Pid and start count even so.
        say join "\t", $slot, '?', '-', life_of(unpack 'x24 L< x36 Q<', bytes_at($file, $at, 256));
        next;
    }
    my ($state, $label, $client) = unpack 'x16 C3', $raw;
    next if $state == 0;
    my ($pid, undef, undef, $requests, undef, undef, $start, undef, $changed) = unpack 'x24 L<2 Q<7', $raw;
    my ($in_hand, $more) = unpack 'x92 S<2', $raw;
    # Of one that has one at a time, the state says it.
    $in_hand = $more ? $in_hand > $more + 1 ? $more + 1 : $in_hand : chr($state) =~ /[RWDL]/ ? 1 : 0;
    my $hands = sprintf '%d of %d', $in_hand, $more + 1;
    # CLOCK_MONOTONIC, but for what the machine has slept.
    my ($uptime) = split ' ', do { open my $up, '<', '/proc/uptime' or die "no uptime: $!\n"; scalar <$up> };
    my $since = $uptime - $changed / 1e9;
    $since = $this_boot && $since > -1 ? sprintf '%.1f', $since > 0 ? $since : 0 : '-';
    my $values = @columns ? whole($file, $at + 256, 256) : undef;
    my @values = map {
        my $found = defined $values ? substr $values, $_->{offset} - 256, $size{ $_->{kind} } : undef;
        !defined $found ? '?' : $_->{kind} eq 'text' ? printable($found =~ s/\0.*//sr) : unpack 'Q<', $found
    } @columns;
    my @texts = map { printable($_) } substr($raw, 96, $label < 96 ? $label : 96), substr $raw, 192, $client < 64 ? $client : 64;
    say join "\t", $slot, printable(chr $state), $pid, life_of($pid, $start), $requests, $hands, $since, @texts, @values;
}
