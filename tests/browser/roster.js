// The page's roster on a network that loses nothing in order but delays, cuts and crashes: as src/room/roster/tests.rs, in
// which each room is of one seed, and every run must end with one roster and a full mesh. Gives what went wrong.
(() => {
  const wrong = [];
  const id = (n) => n.toString(16).padStart(16, '0');

  function run(seed, people) {
    let state = seed * 2654435761 % 2 ** 32 || 1;
    const below = (limit) => {
      state ^= state << 13; state ^= state >>> 17; state ^= state << 5; state >>>= 0;
      return state % limit;
    };
    let [now, serial] = [0, 0];
    const queue = [];
    const rosters = new Map();
    const links = new Map();
    const efforts = new Map();
    const key = (a, b) => `${a} ${b}`;
    const after = (ms, what) => queue.push({ at: now + ms, order: serial++, what });
    const down = (of, other, link) => () => {
      if (links.get(key(of, other)) !== link) return;
      links.delete(key(of, other));
      rosters.get(of)?.handleUnlink(now, id(other));
      settle(of);
      if (links.get(key(other, of)) === link) after(below(8000), down(other, of, link));
    };
    const up = (of, other, link) => () => {
      if (!rosters.has(of) || !rosters.has(other) || links.has(key(of, other))) return;
      if (rosters.get(of).handleLink(now, id(other), ['Ann', 'Bo'][other % 2])) return settle(of);
      links.set(key(of, other), link);
      settle(of);
    };
    const settle = (who) => {
      const roster = rosters.get(who);
      for (let output; (output = roster?.outputs.shift());) {
        const { what, to, through, report, payload } = output;
        const other = parseInt(to, 16) || 0;
        const send = (target, deliver) => {
          const link = links.get(key(who, target));
          if (link) after(1 + below(80), () => { if (links.get(key(target, who)) === link) { deliver(rosters.get(target)); settle(target); } });
        };
        if (what === 'report') send(other, (theirs) => theirs?.handleReport(now, id(who), report));
        if (what === 'pass') send(parseInt(through, 16), (theirs) => theirs?.handlePass(now, id(who), { ...output }));
        if (what === 'offer' || what === 'answer') {
          const code = what === 'offer' ? String(++serial) : payload;
          efforts.set(key(who, other), code);
          after(20 + below(2000), () => { if (efforts.get(key(who, other)) === code) { rosters.get(who)?.made(to, code); settle(who); } });
        }
        if (what === 'accept' && efforts.get(key(who, other)) === payload && below(5)) {
          after(10 + below(500), up(who, other, payload));
          after(10 + below(500), up(other, who, payload));
        }
        if (what === 'drop') {
          efforts.delete(key(who, other));
          const link = links.get(key(who, other));
          links.delete(key(who, other));
          if (link) after(below(8000), down(other, who, link));
        }
      }
    };
    const runUntil = (end) => {
      for (;;) {
        queue.sort((a, b) => a.at - b.at || a.order - b.order);
        const due = [...rosters].map(([who, { deadline }]) => ({ at: deadline, what: () => { rosters.get(who).handleTime(now + 1); settle(who); } }));
        const next = [...due, ...queue.slice(0, 1)].reduce((first, one) => one.at < first.at ? one : first, { at: Infinity });
        if (next.at > end) break;
        if (queue[0] === next) queue.shift();
        now = Math.max(now, next.at);
        next.what();
      }
      now = end;
    };
    for (let who = 1; who <= people; who++) {
      rosters.set(who, new Roster(id(who), ['Ann', 'Bo'][who % 2], who === 1));
      const others = [...rosters.keys()].filter((other) => other !== who);
      if (others.length) {
        const [inviter, link] = [others[below(others.length)], `first ${who}`];
        up(who, inviter, link)();
        after(below(300), up(inviter, who, link));
      }
      runUntil(now + below(4000));
      // Somebody crashes, or a link breaks.
      const [one, other] = [others[below(others.length)], others[below(others.length)]];
      if (others.length > 2 && below(4) === 0) {
        rosters.delete(one);
        for (const [pair, link] of links) {
          const [of, at] = pair.split(' ').map(Number);
          if (of === one) links.delete(pair);
          if (at === one) after(below(8000), down(of, one, link));
        }
      } else if (one !== other && links.has(key(one, other))) down(one, other, links.get(key(one, other)))();
    }
    runUntil(now + 90000);
    // Islands are rooms of their own.
    const island = (who, found = new Set([who])) => {
      for (const other of rosters.keys()) {
        if (!found.has(other) && links.has(key(who, other))) island(other, found.add(other));
      }
      return found;
    };
    for (const [who, roster] of rosters) {
      const expected = [...island(who)].map(id).sort();
      const members = roster.members();
      if ([...members.keys()].sort().join() !== expected.join()) wrong.push(`seed ${seed}: the roster of ${who}: ${[...members.keys()]}`);
      for (const other of expected.map((one) => parseInt(one, 16))) {
        if (other !== who && !links.has(key(who, other))) wrong.push(`seed ${seed}: ${who} and ${other} are not linked`);
        const theirs = rosters.get(other);
        if (theirs.host !== roster.host) wrong.push(`seed ${seed}: the host of ${who} and ${other}`);
        for (const one of expected) if (theirs.shownName(one) !== roster.shownName(one)) wrong.push(`seed ${seed}: a name`);
      }
    }
  }
  for (let seed = 1; seed <= 60; seed++) run(seed, 2 + seed % 9);

  // What is forged, unknown, oversized or too much.
  const expect = (is, what) => { if (!is) wrong.push(what); };
  const entry = (n) => ({ id: id(n), name: `N${n}`, order: n });
  const report = (number, host, members) => ({ type: 'members', number, order: 1, host: id(host), locked: false, removed: [], members: members.map(entry) });
  const room = () => {
    const roster = new Roster(id(0), 'Me', true);
    for (const n of [1, 2, 3]) roster.handleLink(0, id(n), `N${n}`);
    for (const n of [1, 2, 3]) roster.handleReport(0, id(n), report(1, 0, [0, 1, 2, 3]));
    roster.outputs.length = 0;
    return roster;
  };
  const pass = (to, from) => ({ to: id(to), from: id(from), attempt: 1, payload: 'code' });
  let roster = room();
  const [from1, none] = [(message) => roster.handlePass(1000, id(1), message), () => roster.outputs.splice(0).filter(({ what }) => what !== 'changed').length === 0];
  expect(from1(pass(2, 3)) && from1(pass(0, 0)) && from1(pass(9, 1)) && from1(pass(0, 9)) && none(), 'a forged pass was taken');
  expect(roster.handlePass(1000, id(9), pass(0, 1)) && none(), 'a stranger was heard');
  expect(from1({ ...pass(2, 1), payload: 'x'.repeat(8193) }) && from1({ ...pass(2, 1), payload: 7 }) && from1({ ...pass(2, 1), attempt: -1 }) && none(), 'a wrong pass was taken');
  const many = Array.from({ length: 13 }, (_, n) => n);
  for (const bad of [report(2, 0, many), { ...report(2, 0, []), order: 2 ** 40 }, { ...report(2, 0, []), members: 'x' }, { ...report(2, 0, []), host: 'x' },
    { ...report(2, 0, []), removed: [7] }, { type: 'members' }]) expect(roster.handleReport(1000, id(1), bad) && none(), `taken: ${JSON.stringify(bad)}`);
  const taken = Array.from({ length: 1000 }, () => roster.handlePass(2000, id(3), pass(2, 3))).filter((refused) => !refused).length;
  expect(taken === 48, `${taken} passes in one go`);
  expect(!roster.handlePass(2000, id(2), pass(3, 2)), 'the others are hindered');
  for (let round = 0; round < 100; round++) {
    roster.handleReport(3000, id(1), report(10 + round, 0, Array.from({ length: 10 }, (_, n) => 20 + n + round)));
    expect(roster.members().size <= Roster.MAX_MEMBERS, 'invented members');
  }
  roster = room();
  const coup = { ...report(2, 1, [0, 1, 2, 3]), order: 0, locked: true, removed: [id(0), id(2)], ruling: { hub: id(1), mixed: [id(0)] } };
  roster.handleReport(10, id(1), coup);
  expect(roster.host === id(0) && !roster.locked && !roster.isRemoved(id(2)) && !roster.ruling.hub, 'somebody made himself the host');
  for (const n of [2, 3]) roster.handleReport(20, id(n), report(2, 1, [0, 1, 2, 3]));
  roster.handleReport(30, id(1), { ...coup, number: 3, removed: [] });
  expect(roster.host === id(1) && roster.locked && roster.ruling.hub === id(1) && roster.ruling.mixed.join() === id(0), 'the host is not heard');

  // What a browser rules where it is the host: a hub where a mesh is too much for most, or somebody wants one picture.
  roster = new Roster(id(0), 'Me', true);
  const means = (uplink, more) => ({ uplink, load: 10, wantsMix: false, forwards: true, ...more });
  const join = (n, more) => {
    roster.handleLink(0, id(n), `N${n}`);
    roster.handleReport(0, id(n), { ...report(1, 0, [0]), means: means(1000 * n, more) });
    roster.rule(0, false);
  };
  for (const n of [1, 2, 3]) join(n);
  expect(roster.ruling.hub === null, 'four people need no hub');
  join(4, { forwards: false });
  expect(roster.ruling.hub === id(3), 'the best uplink of those who can');
  join(5, { wantsMix: true });
  expect(roster.ruling.hub === id(3) && roster.ruling.mixed.join() === id(5), 'a hub stays, and mixes for whoever wants it');
  roster.handleUnlink(0, id(3));
  roster.rule(0, false);
  expect(roster.ruling.hub === id(5) && !roster.ruling.mixed.length, 'another takes its place');
  for (const n of [4, 5]) roster.handleUnlink(0, id(n));
  roster.rule(0, false);
  expect(roster.ruling.hub === null, 'a mesh again');
  roster.rule(0, true);
  expect(roster.ruling.hub === id(2) && roster.ruling.mixed.join() === id(0), 'the host wants one picture');
  return wrong;
})()
