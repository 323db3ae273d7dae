package io.spg99.lifecycle.database;

import io.spg99.lifecycle.model.Profile;
import java.util.Optional;

/**
 * What a database knows of its size.
 *
 * @param running   profile of the writer, or of the last one; empty before the first, which has the database's size
 * @param chosen    profile of the next writer; empty for the database's size
 * @param choice    why it was chosen
 * @param candidate highest generation that was ever a candidate; zero before the first
 * @param preparing profile of the candidate, while there is one
 * @param failure   why the last handoff did not come to its end
 */
record Scaling(
        ScaleState state,
        Optional<Profile> running,
        Optional<Profile> chosen,
        Optional<String> choice,
        int candidate,
        Optional<Profile> preparing,
        Optional<String> failure) {

    static final Scaling INITIAL = new Scaling(
            ScaleState.STEADY,
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            0,
            Optional.empty(),
            Optional.empty());

    Scaling to(ScaleState next) {
        return new Scaling(
                next, running, chosen, choice, candidate, next.hasCandidate() ? preparing : Optional.empty(), failure);
    }

    Scaling chosen(Profile profile, String reason) {
        return new Scaling(
                state, running, Optional.of(profile), Optional.of(reason), candidate, preparing, Optional.empty());
    }

    Scaling preparing(int generation, Profile profile) {
        return new Scaling(state, running, chosen, choice, generation, Optional.of(profile), failure);
    }

    Scaling running(Profile profile) {
        return new Scaling(state, Optional.of(profile), chosen, choice, candidate, preparing, Optional.empty());
    }

    Scaling failed(String reason) {
        return new Scaling(state, running, chosen, choice, candidate, preparing, Optional.of(reason));
    }
}
